package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// ErrNoTable is returned when a table does not exist.
var ErrNoTable = errors.New("no such table")

// IsNoTable reports whether an error says that a table, or its schema, does not exist.
func IsNoTable(err error) bool {
	my, ok := errors.AsType[*mysql.MyError](err)
	return errors.Is(err, ErrNoTable) ||
		ok && (my.Code == mysql.ER_NO_SUCH_TABLE || my.Code == mysql.ER_UNKNOWN_TABLE || my.Code == mysql.ER_BAD_DB_ERROR)
}

// ErrHidden is returned when the server shows nothing of a table, which may exist: the user has no right to it, or it is a
// view whose own tables cannot be read.
var ErrHidden = errors.New("the table cannot be seen")

// ErrServerChanged is returned when, over a new connection, another server answers than the one that was read so far: its
// coordinates cannot be compared with the former one's, and it may lack changes that were read. Where positions have GTIDs
// the caller can start anew from its saved one.
var ErrServerChanged = errors.New("another server answers now")

// ErrTooOld is returned for servers older than MySQL 5.7 and MariaDB 10.5.
var ErrTooOld = errors.New("the server is too old")

// errNoTLS is how the client library says that the server offers no TLS; it has no error value for it.
const errNoTLS = "does not support TLS"

// Error is a failed step of talking to the server.
type Error struct {
	Step string // what was being done, e.g. "connect to db.example.com:3306"
	Err  error
	Hint string // what the operator can do; "" if there is nothing to say
}

func (e *Error) Error() string {
	s := e.Step + ": " + e.Err.Error()
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// failed names the step of an error and adds what can be done about it. A step that was cut off says so.
func failed(ctx context.Context, c Config, step string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &Error{Step: step, Err: err, Hint: hint(c, err)}
}

// hint is the only place that knows which failure calls for which cure. c may be zero.
func hint(c Config, err error) string {
	if my, ok := errors.AsType[*mysql.MyError](err); ok {
		return serverHint(c, my)
	}
	if _, ok := errors.AsType[*LoginError](err); ok {
		return "" // it says so itself
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("check the host name %s and this machine's name service", e.Name)
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certificateHint(c, e)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return "nothing listens there: check host and port, and that the server runs and accepts network connections"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "there is no route to the server: check address, network and firewall"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time: check address, security groups and firewall, or give it a longer connect timeout"
	case strings.Contains(err.Error(), errNoTLS):
		return "enable TLS on the server, or choose TLS mode preferred or disabled to send everything in clear"
	case errors.Is(err, ErrClearPassword):
		return "use TLS mode verify-identity, or give the user another plugin, such as caching_sha2_password; if it has one already, somebody is in between"
	case strings.Contains(err.Error(), "auth plugin"):
		return "give the user one of the plugins caching_sha2_password, mysql_native_password or ed25519 (ALTER USER ... IDENTIFIED WITH ...)"
	}
	return ""
}

func certificateHint(c Config, err error) string {
	where := c.Authorities()
	bundle := "for RDS its certificate bundle"
	if IsRDS(c.Host) && c.TLSRoots == nil {
		bundle = "for this host, which is one of RDS, write tls_ca: aws-rds, or name AWS's bundle"
	}
	if c.TLS == TLSVerifyIdentity {
		return fmt.Sprintf("the certificate must come from an authority in %s and be made out to %s; "+
			"give the right CA file (%s), or use TLS mode verify-ca if only the name differs", where, c.Host, bundle)
	}
	return fmt.Sprintf("the certificate must come from an authority in %s; give the CA file that signed it (%s)", where, bundle)
}

func serverHint(c Config, err *mysql.MyError) string {
	user := c.User
	if user == "" {
		user = "the user"
	}
	switch err.Code {
	case mysql.ER_ACCESS_DENIED_ERROR, erAccessDeniedNoPassword:
		if c.refused != "" {
			return c.refused
		}
		return "check user name and password; the server chooses the account by the client host that it names in this message " +
			"(see SELECT user, host, plugin FROM mysql.user)"
	case mysql.ER_HOST_NOT_PRIVILEGED:
		return "the server has no account for this client host: CREATE USER with a host part that covers it"
	case mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR, mysql.ER_DBACCESS_DENIED_ERROR, mysql.ER_TABLEACCESS_DENIED_ERROR, mysql.ER_COLUMNACCESS_DENIED_ERROR:
		return fmt.Sprintf("grant what is missing: GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO %s "+
			"(SELECT may be limited to the replicated schemas; MariaDB calls REPLICATION CLIENT also BINLOG MONITOR)", user)
	case mysql.ER_HOST_IS_BLOCKED:
		return "too many failed connects from here: run FLUSH HOSTS (TRUNCATE performance_schema.host_cache) on the server"
	case mysql.ER_CON_COUNT_ERROR, mysql.ER_TOO_MANY_USER_CONNECTIONS, mysql.ER_USER_LIMIT_REACHED:
		return "the server has no connection left: raise max_connections or the user's limit, or close other clients"
	case 3159: // ER_SECURE_TRANSPORT_REQUIRED
		return "the server accepts encrypted connections only: choose TLS mode required, verify-ca or verify-identity"
	case 1820, 1862: // ER_MUST_CHANGE_PASSWORD
		return "the password has expired: set a new one with ALTER USER"
	case 3118, 4151: // ER_ACCOUNT_HAS_BEEN_LOCKED
		return "the account is locked: ALTER USER ... ACCOUNT UNLOCK"
	case mysql.ER_NO_SUCH_TABLE, mysql.ER_BAD_DB_ERROR:
		return "check that it exists and that the name is spelled in the right case"
	case mysql.ER_NO_BINARY_LOGGING:
		return "start the server with log_bin (on RDS and Aurora: turn on automated backups or set binlog_format in the parameter group)"
	}
	return ""
}

// Hint is the cure for an error of the server, "" if none is known.
func Hint(err error) string { return hint(Config{}, err) }

// IsUntrusted reports whether the server's certificate was not accepted.
func IsUntrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// Refused reports whether waiting does not help: the server turned us down, or we do not want it.
func Refused(err error) bool {
	if errors.Is(err, ErrTooOld) || errors.Is(err, ErrVersionedByTransaction) || errors.Is(err, schema.ErrUnsupported) || IsUntrusted(err) {
		return true
	}
	if e, ok := errors.AsType[*LoginError](err); ok {
		return e.Final
	}
	if errors.Is(err, ErrClearPassword) {
		return true
	}
	my, ok := errors.AsType[*mysql.MyError](err)
	if !ok {
		return false
	}
	switch my.Code {
	case mysql.ER_ACCESS_DENIED_ERROR, mysql.ER_DBACCESS_DENIED_ERROR, mysql.ER_TABLEACCESS_DENIED_ERROR,
		mysql.ER_COLUMNACCESS_DENIED_ERROR, mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR, mysql.ER_HOST_NOT_PRIVILEGED,
		erAccessDeniedNoPassword, 1820, 1862, 3118, 3159, 4151: // what serverHint says of these
		return true
	}
	return false
}

// Lost reports whether the connection broke in the middle of a step, or the server ended it: over a new one the same step
// may succeed.
func Lost(err error) bool {
	if my, ok := errors.AsType[*mysql.MyError](err); ok {
		switch my.Code {
		case mysql.ER_SERVER_SHUTDOWN, 1927, 3169, 4031: // the connection was killed (MariaDB, MySQL), or waited too long for us
			return true
		}
		return false
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, mysql.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
