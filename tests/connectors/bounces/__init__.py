"""What comes back by mail, in the words of many servers."""
