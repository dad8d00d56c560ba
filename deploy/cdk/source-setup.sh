# Makes the user that replicates, or gives it the password that its secret has now, and has RDS keep the binlog for a
# while. Runs in MySQL's own image; running it again does no harm. The passwords come from generated secrets, which hold no
# character that SQL or the shell would read as anything else.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/mysql-stored-proc-configuring.html
set -eu
case $REPLICATION_PASSWORD in
*[\'\\]*) echo "the secret of the replication user has a quote or a backslash in its password; generate another" >&2; exit 1 ;;
esac
MYSQL_PWD=$ADMIN_PASSWORD exec mysql --host="$SOURCE_HOST" --port="$SOURCE_PORT" --user="$ADMIN_USER" --ssl-mode=REQUIRED <<SQL
CREATE USER IF NOT EXISTS '$REPLICATION_USER'@'%' IDENTIFIED BY '$REPLICATION_PASSWORD' REQUIRE SSL;
ALTER USER '$REPLICATION_USER'@'%' IDENTIFIED BY '$REPLICATION_PASSWORD' REQUIRE SSL;
GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '$REPLICATION_USER'@'%';
CALL mysql.rds_set_configuration('binlog retention hours', $BINLOG_RETENTION_HOURS);
SQL
