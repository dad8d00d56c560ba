package source

import (
	"context"
	"errors"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

var errNotYet = errors.New("not built yet")

// Connect opens a read-only session. It ends early with ctx; the connection that it returns does not depend on ctx.
func Connect(ctx context.Context, c Config) (*client.Conn, error) { return nil, errNotYet }

// Query runs one statement and returns its result; when ctx ends the connection is closed.
func Query(ctx context.Context, conn *client.Conn, statement string) (*mysql.Result, error) {
	return nil, errNotYet
}

// StreamText runs a SELECT and calls fn for each row.
func StreamText(ctx context.Context, conn *client.Conn, query string, fn func(row [][]byte) error) error {
	return errNotYet
}

// Describe asks the server what it is.
func Describe(ctx context.Context, conn *client.Conn) (Server, error) { return Server{}, errNotYet }

// CurrentPosition is the end of the server's binary log.
func CurrentPosition(ctx context.Context, conn *client.Conn, s Server) (Position, error) {
	return Position{}, errNotYet
}

// LogFile is one binary log file of the server.
type LogFile struct {
	Name string
	Size uint64
}

// BinaryLogs lists the server's binary log files, oldest first.
func BinaryLogs(ctx context.Context, conn *client.Conn) ([]LogFile, error) { return nil, errNotYet }

// TableName is a table that exists on the server.
type TableName struct {
	Schema, Name string
	View         bool
}

// Tables lists all tables and views, the server's own schemas left out, ordered by schema and name.
func Tables(ctx context.Context, conn *client.Conn) ([]TableName, error) { return nil, errNotYet }

// LoadTable reads a table's definition.
func LoadTable(ctx context.Context, conn *client.Conn, schemaName, name string) (*schema.Table, error) {
	return nil, errNotYet
}
