#!/bin/sh
# Generated from services/platform.toml by `cargo topology generate`. Do not edit.
# Creates a database and a role for each service. The PostgreSQL image runs this once, when the cluster is new. A role owns
# its database and cannot connect to any other.
set -eu

# The image would take a cluster that this script left half made for a complete one. Without it, the next start is a first
# start again.
trap '[ $? -eq 0 ] || find "$PGDATA" -mindepth 1 -delete' EXIT

create() { # DATABASE ROLE PASSWORD
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set database="$1" --set role="$2" --set password="$3" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"database" OWNER :"role" ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
}

export PGUSER="$POSTGRES_USER" PGDATABASE=postgres
create users user_service "$USER_SERVICE_DATABASE_PASSWORD"
create products product_service "$PRODUCT_SERVICE_DATABASE_PASSWORD"
create orders order_service "$ORDER_SERVICE_DATABASE_PASSWORD"
create notifications notification_service "$NOTIFICATION_SERVICE_DATABASE_PASSWORD"
create payment_provider payment_provider "$PAYMENT_PROVIDER_DATABASE_PASSWORD"
create payments payment_service "$PAYMENT_SERVICE_DATABASE_PASSWORD"
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --command 'REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC'
