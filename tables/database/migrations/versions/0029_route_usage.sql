-- How many messages each route was given lately, for its limits per hour and day.

CREATE TABLE route_usage (
  tenant_id varchar(64) NOT NULL REFERENCES tenants (id),
  route varchar(64) NOT NULL,
  at timestamptz NOT NULL,
  messages integer NOT NULL,
  PRIMARY KEY (tenant_id, route, at)
);
CREATE INDEX idx_route_usage_at ON route_usage (at);
