package source

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
)

// Connect opens a session that reads only and speaks utf8mb4 and UTC. It ends early when ctx is done or the connect
// timeout has passed; the connection that it returns does not depend on ctx. Errors are *Error.
func Connect(ctx context.Context, c Config) (*client.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.withDefaults().ConnectTimeout)
	defer cancel()

	conn, err := enter(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, conn); err != nil {
		Close(conn)
		return nil, err
	}
	return conn, nil
}

// login dials and authenticates. Preferred TLS falls back to clear only where the server's greeting offers none; any
// other failure of TLS stays a failure.
func login(ctx context.Context, c Config, l Login) (*client.Conn, error) {
	if l.InClear && !c.TLS.verifies() {
		return nil, fmt.Errorf("%w that knows the server: TLS mode is %s", ErrClearPassword, c.TLS)
	}
	t, err := tlsConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	attempt := func(withTLS bool) (*client.Conn, error) {
		return handshake(ctx, c, l.Password, withTLS, func(conn *client.Conn) error {
			if withTLS {
				conn.SetTLSConfig(t)
			}
			// Without these two, a query is one string and its result ends in one way, on every server.
			conn.UnsetCapability(mysql.CLIENT_DEPRECATE_EOF)
			conn.UnsetCapability(mysql.CLIENT_QUERY_ATTRIBUTES)
			conn.SetAttributes(map[string]string{"program_name": "binlogstreamer"})
			return nil
		})
	}
	conn, err := attempt(t != nil)
	if err != nil && c.TLS == TLSPreferred && strings.Contains(err.Error(), errNoTLS) {
		return attempt(false)
	}
	return conn, err
}

// handshake lets the client library log in, which knows nothing of contexts: when ctx ends, the connection is closed
// under it. It also turns the library's panics on malformed greetings into errors.
func handshake(ctx context.Context, c Config, password string, withTLS bool, option client.Option) (conn *client.Conn, err error) {
	var raw net.Conn
	var guard *guarded
	var stop func() bool
	defer func() {
		if p := recover(); p != nil {
			conn, err = nil, fmt.Errorf("the server's greeting is malformed: %v", p)
		}
		if stop != nil && !stop() && err == nil {
			conn, err = nil, context.Cause(ctx) // closed between the last byte and here
		}
		if err != nil && raw != nil {
			raw.Close()
		}
	}()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		var err error
		if raw, err = d.DialContext(ctx, network, address); err != nil {
			return nil, err
		}
		stop = context.AfterFunc(ctx, func() { raw.Close() })
		if withTLS || c.socket() {
			return raw, nil
		}
		guard = &guarded{Conn: raw}
		return guard, nil
	}
	conn, err = client.ConnectWithDialer(ctx, c.network(), c.address(), c.User, password, "", dial, option)
	if guard != nil {
		guard.over.Store(true)
		if guard.asked {
			err = ErrClearPassword // the library's error does not wrap it
		}
	}
	return conn, err
}

// closeOnDone closes the connection when ctx ends, which is the only way to interrupt a read or write on it. The
// returned function ends the watch; false means that it came too late.
func closeOnDone(ctx context.Context, conn *client.Conn) (stop func() bool) {
	raw := conn.Conn.Conn // closing the library's wrapper instead would race with its reader
	return context.AfterFunc(ctx, func() { raw.Close() })
}

// Close ends a session that is between two commands: the server is told, so that it logs no aborted connection.
func Close(conn *client.Conn) {
	raw := conn.Conn.Conn
	_ = raw.SetDeadline(time.Now().Add(time.Second))
	_ = conn.Quit()
	raw.Close()
}
