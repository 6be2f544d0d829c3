#!/bin/sh
# Generated from services/platform.toml by `cargo topology generate`. Do not edit.
# Starts RabbitMQ with a user for each service, whose rights are in rights.json. The container runs this at each start; the
# broker imports both before it accepts connections, so that a new password takes effect with a restart.
set -eu

directory=${TMPDIR:-/tmp}/definitions
separator=

user() { # NAME VARIABLE TAGS
    eval "password=\$$2"
    case $password in
        '' | *[!A-Za-z0-9._~-]*)
            # Part of a URL, EVENTS_URL, and of the JSON below.
            echo "$2: only letters, digits and - . _ ~ are possible in this password" >&2
            exit 1
            ;;
    esac
    # A builtin, so that no list of processes shows it.
    printf '%s{"name": "%s", "password": "%s", "tags": [%s]}' "$separator" "$1" "$password" "$3"
    separator=', '
    unset "$2"
}

umask 077
rm -rf "$directory"
mkdir "$directory"
# Files are imported in the order of their names.
{
    printf '{"users": ['
    user administrator RABBITMQ_PASSWORD '"administrator"'
    user user_service USER_SERVICE_EVENTS_PASSWORD ''
    user product_service PRODUCT_SERVICE_EVENTS_PASSWORD ''
    user order_service ORDER_SERVICE_EVENTS_PASSWORD ''
    user notification_service NOTIFICATION_SERVICE_EVENTS_PASSWORD ''
    user payment_provider PAYMENT_PROVIDER_EVENTS_PASSWORD ''
    user payment_service PAYMENT_SERVICE_EVENTS_PASSWORD ''
    printf '], "vhosts": [{"name": "platform"}], "permissions": ['
    printf '{"user": "administrator", "vhost": "platform", "configure": ".*", "write": ".*", "read": ".*"}]}\n'
} >"$directory/1-users.json"
cp "${0%/*}/rights.json" "$directory/2-rights.json"

exec docker-entrypoint.sh rabbitmq-server
