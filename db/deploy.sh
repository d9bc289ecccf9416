#!/bin/sh
# Brings database, logins and topics to this version; the services wait for it. Repeating it changes nothing.
# TELESTREAM_SECRETS_DIR holds the owner's password (telestream_database_password), the superuser's and the logins'.
set -eu
secrets=$TELESTREAM_SECRETS_DIR
PGPASSWORD=$(cat "$secrets/superuser_password") telestream db prepare
telestream db upgrade
telestream db schedule
telestream db user add svc_api --role gateway --password-file "$secrets/api_password"
telestream db user add svc_loader --role loader --password-file "$secrets/loader_password"
telestream db user add svc_consumer --role consumer --password-file "$secrets/consumer_password"
telestream db user add svc_grafana --role analyst --password-file "$secrets/grafana_password"
telestream db user add svc_metrics --role engineer --password-file "$secrets/metrics_password"
telestream topics create
