-- Signing in to the dashboard: codes that work once, and the sessions of browsers. Of both only the
-- hash is stored, and both end with the secret of the API key that they come from.

CREATE TABLE sign_in_codes (
  code_sha256 bytea PRIMARY KEY,
  key_id varchar(16) NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
  secret_sha256 bytea NOT NULL,
  expires_at timestamptz NOT NULL
);

CREATE INDEX idx_sign_in_codes_key ON sign_in_codes (key_id, expires_at);

CREATE INDEX idx_sign_in_codes_expires ON sign_in_codes (expires_at);

CREATE TABLE browser_sessions (
  id_sha256 bytea PRIMARY KEY,
  key_id varchar(16) NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
  user_id uuid NOT NULL,
  role varchar(10) NOT NULL,
  secret_sha256 bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL
);

CREATE INDEX idx_browser_sessions_key ON browser_sessions (key_id, expires_at);

CREATE INDEX idx_browser_sessions_expires ON browser_sessions (expires_at);
