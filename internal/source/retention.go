package source

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
)

// Retention is how long a server keeps a binary log file that it has ceased to write.
type Retention struct {
	Keep    time.Duration
	Forever bool // until somebody purges it by hand
	Managed bool // by RDS, which goes by a setting of its own
	Unknown bool // RDS's setting, which this user may not read
}

// ReadRetention asks for the present settings. On RDS the server's own variables say nothing: files are removed as soon
// as they are backed up, unless 'binlog retention hours' is set.
func ReadRetention(ctx context.Context, conn *client.Conn) (Retention, error) {
	server, err := Describe(ctx, conn)
	if err != nil {
		return Retention{}, err
	}
	rows, err := texts(ctx, conn, `SELECT @@basedir, (SELECT COUNT(*) FROM information_schema.TABLES
 WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'rds_configuration')`)
	if err != nil {
		return Retention{}, err
	}
	managed := strings.HasPrefix(rows[0][0], "/rdsdbbin")
	if rows[0][1] == "0" { // or not to be seen by this user
		return Retention{Keep: server.ExpireAfter, Forever: server.ExpireAfter == 0 && !managed, Managed: managed, Unknown: managed}, nil
	}
	hours, err := texts(ctx, conn, "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'")
	if err != nil {
		return Retention{Managed: true, Unknown: true}, nil //nolint:nilerr // not being allowed to read it is an answer
	}
	r := Retention{Managed: true}
	if len(hours) > 0 {
		n, _ := strconv.ParseFloat(hours[0][0], 64) // NULL, which is "", is 0
		r.Keep = time.Duration(n * float64(time.Hour))
	}
	return r, nil
}
