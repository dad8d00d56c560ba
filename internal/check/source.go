package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Rules says which tables a pipeline takes.
type Rules interface {
	Selected(schema, table string) bool
}

// Source is the server side of a pipeline.
type Source struct {
	Config    source.Config
	Login     Login  // where the login comes from; nil: the configuration itself
	LoginFile string // that it comes from; "": another place
	ServerID  uint32
	Rules     func(lowerCaseTables int) Rules // for a server that does or does not tell names apart by case
	Changes   bool                            // changes are replicated, so the binlog matters
	Saved     source.Position                 // where the pipeline goes on; zero if it has not begun
	Suspended map[string]string               // by schema.table: why the pipeline sends nothing of it
	Start     binlog.Start                    // where it is to begin; zero: at the present end
}

// sourceCheck is one look at a server.
type sourceCheck struct {
	*Source
	*reporter
	conn   *client.Conn
	server source.Server
	user   string // quoted account, for GRANT
	grants *grants
}

func (s *Source) check(ctx context.Context, r *reporter) {
	if s == nil {
		return
	}
	if !s.login(ctx, r) {
		return
	}
	conn, err := source.Connect(ctx, s.Config)
	if err != nil {
		r.failed("connect", err, s.entry(err))
		return
	}
	defer conn.Close()
	c := &sourceCheck{Source: s, reporter: r, conn: conn}
	c.connection(ctx)
	c.certificate()
	if c.server, err = source.Describe(ctx, conn); err != nil {
		r.failed("version", err, "")
		return
	}
	r.ok("version", "%s %s", map[source.Flavor]string{source.MySQL: "MySQL", source.MariaDB: "MariaDB"}[c.server.Flavor], c.server.Version)
	c.readGrants(ctx)
	if s.Changes {
		c.binlog()
		c.retention(ctx)
		c.gtid()
		c.position(ctx)
		c.serverID(ctx)
		c.replicationPrivileges()
	}
	c.tables(ctx)
	if s.Changes {
		c.cascades(ctx)
	}
}

// connection tells how the connection is protected.
func (c *sourceCheck) connection(ctx context.Context) {
	host, user := cmp.Or(c.Config.Host, "the host"), cmp.Or(c.Config.User, "the user")+" that the password comes with"
	if c.Config.User != "" {
		user = c.Config.User
	}
	where := fmt.Sprintf("%s as %s", host, user)
	if c.Config.Port != 0 {
		where = fmt.Sprintf("%s:%d as %s", host, c.Config.Port, user)
	}
	cipher, err := c.value(ctx, "SHOW SESSION STATUS LIKE 'Ssl_cipher'", 1)
	switch {
	case err != nil:
		c.failed("connect", err, "")
	case cipher != "":
		c.ok("connect", "%s, encrypted with %s, tls: %s", where, cipher, c.Config.TLS)
	case c.onThisMachine():
		c.ok("connect", "%s, not encrypted, but on this machine", where)
	default:
		c.add(Warn, "connect", where+", NOT encrypted: password hashes and rows cross the network in clear",
			"set source.tls: verify-identity with the authority's certificate in source.tls_ca (or tls: required)")
	}
}

func (c *sourceCheck) onThisMachine() bool {
	h := c.Config.Host
	return strings.HasPrefix(h, "/") || h == "127.0.0.1" || h == "localhost" || h == "::1"
}

// binlog looks at the settings that decide whether every change is in the log, whole.
func (c *sourceCheck) binlog() {
	s := &c.server
	rds := "on RDS and Aurora set it in the parameter group"
	if !s.LogBin {
		c.add(Fail, "log_bin", "OFF: the server keeps no binary log", "start the server with --log-bin=binlog and --server-id=1; on RDS turn on automated backups")
		return
	}
	c.ok("log_bin", "ON")
	c.setting("binlog_format", s.BinlogFormat, "ROW", Fail, "SET GLOBAL binlog_format = 'ROW'; -- and in the server's option file; sessions that are open keep the old one; "+rds)
	c.setting("binlog_row_image", s.RowImage, "FULL", Fail, "SET GLOBAL binlog_row_image = 'FULL'; -- and in the server's option file; "+rds)
	if s.RowMetadata != "" {
		c.setting("binlog_row_metadata", s.RowMetadata, "FULL", Warn,
			"SET GLOBAL binlog_row_metadata = 'FULL'; -- column names then stand in the log itself, so that an ALTER TABLE in the past can't confuse; "+rds)
	}
	if s.RowValueOptions != "" {
		c.add(Fail, "row value options", "binlog_row_value_options is "+s.RowValueOptions+": changes of JSON columns are not logged whole", "SET GLOBAL binlog_row_value_options = ''; -- "+rds)
	}
}

func (c *sourceCheck) setting(name, is, want string, otherwise State, cure string) {
	if is == want {
		c.ok(name, "%s", is)
		return
	}
	must := ", must be "
	if otherwise == Warn {
		must = ", better "
	}
	c.add(otherwise, name, is+must+want, cure)
}

// minRetention is how long a pipeline should be able to stand still without losing its place: a weekend.
const minRetention = 3 * 24 * time.Hour

// retention looks at how long the log is kept. RDS has a setting of its own for it.
func (c *sourceCheck) retention(ctx context.Context) {
	const item = "binlog retention"
	keep, err := source.ReadRetention(ctx, c.conn)
	if err != nil {
		c.failed(item, err, "")
		return
	}
	if keep.Managed {
		c.rdsRetention(item, keep)
		return
	}
	cure := "SET GLOBAL binlog_expire_logs_seconds = 604800; -- 7 days; also in the option file"
	if c.server.Flavor == source.MariaDB && !c.server.VersionAtLeast(10, 6, 0) || c.server.Flavor == source.MySQL && !c.server.VersionAtLeast(8, 0, 0) {
		cure = "SET GLOBAL expire_logs_days = 7; -- also in the option file"
	}
	switch {
	case keep.Forever:
		c.ok(item, "kept until it is purged by hand")
	case keep.Keep < minRetention:
		c.add(Warn, item, fmt.Sprintf("%s: a pipeline that stands still for longer must load anew", printDuration(keep.Keep)), cure)
	default:
		c.ok(item, "%s", printDuration(keep.Keep))
	}
}

func (c *sourceCheck) rdsRetention(item string, keep source.Retention) {
	const cure = "CALL mysql.rds_set_configuration('binlog retention hours', 168); -- 7 days"
	hours := keep.Keep.Hours()
	switch {
	case keep.Unknown:
		c.add(Warn, item, "RDS keeps it as 'binlog retention hours' says, which this user may not read",
			fmt.Sprintf("GRANT SELECT ON mysql.rds_configuration TO %s; or CALL mysql.rds_show_configuration; -- and if it is NULL or small: %s", c.user, cure))
	case keep.Keep == 0:
		c.add(Fail, item, "RDS removes binlog files as soon as they are backed up", cure)
	case keep.Keep < minRetention:
		c.add(Warn, item, fmt.Sprintf("%.4g hours on RDS: a pipeline that stands still for longer must load anew", hours), cure)
	default:
		c.ok(item, "%.4g hours on RDS", hours)
	}
}

// gtid tells whether a position survives a failover.
func (c *sourceCheck) gtid() {
	switch {
	case c.server.Flavor == source.MariaDB:
		c.ok("gtid", "MariaDB: every transaction has one")
	case c.server.GTIDMode:
		c.ok("gtid", "gtid_mode ON")
	default:
		c.add(Warn, "gtid", "gtid_mode is not ON: positions are file and offset, which mean nothing on another server after a failover",
			"SET GLOBAL enforce_gtid_consistency = ON; then gtid_mode = OFF_PERMISSIVE, ON_PERMISSIVE, ON, one after the other")
	}
}

// position finds out whether the server can go on where the pipeline has saved that it is, or begin where it is told to.
// It names the transactions that stand in the way: those that were purged unread, and those that were read and are not
// there.
func (c *sourceCheck) position(ctx context.Context) {
	const item = "position"
	const lag = 2 * time.Second // of a replica that is about to catch up
	var err error
	switch {
	case !c.server.LogBin:
		return
	case !c.Saved.IsZero():
		if err = binlog.CheckStart(ctx, c.Config, c.conn, c.server, c.Saved, lag); err == nil {
			where := ""
			if c.Saved.ServerUUID != c.server.UUID {
				where = ", saved on server " + c.Saved.ServerUUID + " and found on this one by GTID"
			}
			c.ok(item, "going on at %s%s", c.Saved, where)
			return
		}
	case c.Start.IsSet():
		var at source.Position
		if at, err = binlog.Locate(ctx, c.Config, c.conn, c.server, c.Start); err == nil {
			c.ok(item, "%s is %s", c.Start, at)
			return
		}
	default:
		return
	}
	c.failed(item, err, "") // these errors carry their cure
}

func printDuration(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%.4g days", d.Hours()/24)
	}
	return d.String()
}

// value is one column of a query's first row, as text; "" if there is no row.
func (c *sourceCheck) value(ctx context.Context, query string, column int) (string, error) {
	r, err := source.Query(ctx, c.conn, query)
	if err != nil || r.Resultset == nil || len(r.Values) == 0 {
		return "", err
	}
	return text(r, 0, column), nil
}

// text is one value of a result; it must be copied, since results share memory.
func text(r *mysql.Result, row, column int) string {
	s, err := r.GetString(row, column)
	if err != nil {
		return ""
	}
	return strings.Clone(s)
}

// isCode says whether the server answered with one of its error codes.
func isCode(err error, codes ...uint16) bool {
	e, ok := errors.AsType[*mysql.MyError](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if e.Code == code {
			return true
		}
	}
	return false
}
