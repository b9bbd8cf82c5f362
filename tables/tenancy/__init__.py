"""The second lock between tenants: a unit of work of the API says for which tenant it acts, and
policies of PostgreSQL keep it to that tenant's rows, also where a statement forgets to name it.
The room imports no other.
"""
