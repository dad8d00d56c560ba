package binlog

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// introduce registers the connection to the server as a replica: which checksums and heartbeats it wants and who it is.
// Asking for the checksums that stand in the files makes event sizes and offsets exact and lets damage be seen.
func introduce(ctx context.Context, conn *client.Conn, cfg Config, server source.Server) error {
	statements := []string{
		"SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32'",
		fmt.Sprintf("SET @master_heartbeat_period = %d, @source_heartbeat_period = %[1]d", cfg.Heartbeat.Nanoseconds()),
	}
	if server.Flavor == source.MariaDB {
		statements = append(statements, "SET @mariadb_slave_capability = 4") // understands GTID events
	} else {
		// The server ends the dump of an earlier connection with the same identity, which would otherwise linger after a
		// network failure, and tells a second daemon with our server id that it is one.
		id := replicaUUID(cfg.ServerID, server.UUID)
		statements = append(statements, fmt.Sprintf("SET @slave_uuid = '%s', @replica_uuid = '%[1]s'", id))
	}
	for _, s := range statements {
		if err := source.Exec(ctx, conn, s); err != nil {
			return err
		}
	}
	p, err := source.Send(conn, mysql.COM_REGISTER_SLAVE, registration(cfg))
	if err != nil {
		return err
	}
	answer, err := p.Next()
	if err != nil {
		return err
	}
	if my, ok := source.IsError(answer); ok {
		return dumpRefused(my)
	}
	return nil
}

// replicaUUID is the name-based UUID under which the reader with this server id registers at a server.
func replicaUUID(id uint32, server string) string {
	sum := sha1.Sum(fmt.Appendf(nil, "binlogstreamer replica %d of %s", id, server))
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	return string(appendUUID(nil, sum[:16]))
}

// registration is what SHOW REPLICAS will tell of us.
func registration(cfg Config) []byte {
	host, _ := os.Hostname()
	host = host[:min(len(host), 60)]
	b := binary.LittleEndian.AppendUint32(nil, cfg.ServerID)
	b = append(append(b, byte(len(host))), host...)
	b = append(b, 0, 0) // no user, no password
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint32(b, 0)
}

// maxDumpOffset is the highest offset that the dump command has room for. (Tests lower it.)
var maxDumpOffset uint64 = math.MaxUint32

// dumpAt asks for the log from a file and offset on.
func dumpAt(conn *client.Conn, cfg Config, server source.Server, file string, offset uint64) (*source.Packets, error) {
	if offset > maxDumpOffset {
		offset = fileHeader // the reader skips up to the place itself
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(max(offset, fileHeader)))
	b = binary.LittleEndian.AppendUint16(b, dumpFlags(server))
	b = binary.LittleEndian.AppendUint32(b, cfg.ServerID)
	return source.Send(conn, mysql.COM_BINLOG_DUMP, append(b, file...))
}

// dumpLog asks for the log from a file and offset to its present end, in the way of tools that copy logs: without an id
// as a replica, it ends no other dump and is ended by none.
func dumpLog(ctx context.Context, conn *client.Conn, server source.Server, file string, offset uint64) (*source.Packets, error) {
	statements := []string{"SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32'"}
	if server.Flavor == source.MariaDB {
		statements = append(statements, "SET @mariadb_slave_capability = 4")
	}
	for _, s := range statements {
		if err := source.Exec(ctx, conn, s); err != nil {
			return nil, err
		}
	}
	if offset > maxDumpOffset {
		offset = fileHeader
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(max(offset, fileHeader)))
	b = binary.LittleEndian.AppendUint16(b, dumpFlags(server)&^replication.USE_HEARTBEAT_EVENT_V2|replication.BINLOG_DUMP_NON_BLOCK)
	b = binary.LittleEndian.AppendUint32(b, 0)
	return source.Send(conn, mysql.COM_BINLOG_DUMP, append(b, file...))
}

// dumpAfter asks for every transaction that is not in the set.
func dumpAfter(ctx context.Context, conn *client.Conn, cfg Config, server source.Server, set *GTIDSet) (*source.Packets, error) {
	if server.Flavor == source.MariaDB {
		for _, s := range []string{
			fmt.Sprintf("SET @slave_connect_state = '%s'", set),
			"SET @slave_gtid_strict_mode = 1",
		} {
			if err := source.Exec(ctx, conn, s); err != nil {
				return nil, err
			}
		}
		return dumpAt(conn, cfg, server, "", 0)
	}
	data := set.my.encode()
	b := binary.LittleEndian.AppendUint16(nil, dumpFlags(server))
	b = binary.LittleEndian.AppendUint32(b, cfg.ServerID)
	b = binary.LittleEndian.AppendUint32(b, 0) // length of the file name
	b = binary.LittleEndian.AppendUint64(b, fileHeader)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return source.Send(conn, mysql.COM_BINLOG_DUMP_GTID, append(b, data...))
}

func dumpFlags(server source.Server) uint16 {
	switch {
	case server.Flavor == source.MariaDB:
		// With the statements' texts in the stream no event is left out, which makes offsets certain on servers that do
		// not write them into the events of a transaction.
		return replication.BINLOG_SEND_ANNOTATE_ROWS_EVENT
	case server.VersionAtLeast(8, 0, 26):
		return replication.USE_HEARTBEAT_EVENT_V2 // with 64-bit offsets
	}
	return 0
}

const errDumpFailed = 1236 // ER_SOURCE_FATAL_ERROR_READING_BINLOG: many causes, told apart by its text

const errSameServerID = 4052 // ER_SLAVE_SAME_ID of MariaDB, whose text differs between versions

// dumpRefused turns the server's answer to a dump command into an error with a cure. What is returned as it came is worth
// another attempt.
func dumpRefused(my *mysql.MyError) error {
	text := strings.ToLower(my.Message)
	if strings.Contains(text, "same server_uuid/server_id") || my.Code == errSameServerID {
		return &PositionError{Detail: my.Message, Hint: "give every reader and replica of this server a server id of its own", Err: ErrReplaced}
	}
	if my.Code != errDumpFailed {
		hint := source.Hint(my)
		if my.Code == mysql.ER_ACCESS_DENIED_ERROR { // we are logged in: it is a privilege that is missing
			hint = source.Hint(&mysql.MyError{Code: mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR})
		}
		return &source.Error{Step: "read the binary log", Err: my, Hint: hint}
	}
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("purged", "could not find first log file name", "could not find gtid state"):
		return &PositionError{Detail: my.Message, Hint: hintPurged, Err: ErrPurged}
	case has("more gtids than", "position > file size", "impossible position", "is not in the master's binlog", "diverged"):
		return &PositionError{Detail: my.Message, Hint: hintAhead, Err: ErrAhead}
	case has("could not find next log"):
		return my // the log was reset under the dump: at the next attempt, checkStart finds out and names it
	case has("max_allowed_packet"):
		return &PositionError{Detail: my.Message, Hint: "raise max_allowed_packet on the source", Err: my}
	}
	return &PositionError{
		Detail: my.Message, Err: errors.New("the server cannot read its binary log there"),
		Hint: "start from a newer position and load the tables again, or see the server's error log",
	}
}

// readTimeout is how long the server may be silent.
func readTimeout(heartbeat time.Duration) time.Duration { return max(10*heartbeat, 30*time.Second) }

// searchTimeout is how long it may take for the first event: the server may have to look through many files.
const searchTimeout = 10 * time.Minute

// closeWith closes a connection that may be in the middle of a dump, when ctx is done or the returned function is called.
func closeWith(ctx context.Context, conn *client.Conn) (done func()) {
	closeConn := sync.OnceFunc(func() { conn.Conn.Conn.Close() })
	stop := context.AfterFunc(ctx, closeConn)
	return func() { stop(); closeConn() }
}
