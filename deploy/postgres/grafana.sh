#!/usr/bin/env bash
# Run once, when the database is new (by the image, by `make stack`): the role that Grafana signs in with. It may connect
# and nothing more; which views it sees is said by Wenxun's migrations. psql reads the password: it is on no command line.
set -euo pipefail
export GRAFANA_RO_PASSWORD_FILE=${GRAFANA_RO_PASSWORD_FILE:-/run/secrets/grafana_ro_password}
psql -q -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set password `cat "$GRAFANA_RO_PASSWORD_FILE"`
CREATE ROLE grafana_ro LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
ALTER ROLE grafana_ro SET default_transaction_read_only = on;
ALTER ROLE grafana_ro SET statement_timeout = '10s';
SQL
