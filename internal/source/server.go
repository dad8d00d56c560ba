package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
)

// Flavor is the family of a server.
type Flavor string

// The flavors.
const (
	MySQL   Flavor = "mysql"
	MariaDB Flavor = "mariadb"
)

// Server is what Describe found out about a server.
type Server struct {
	Flavor   Flavor
	Version  string // as the server prints it, e.g. "8.0.36" or "10.11.6-MariaDB-log"
	UUID     string // server_uuid; on MariaDB, which has none, an identity derived from server_id and server_uid
	ServerID uint32

	LogBin          bool
	BinlogFormat    string // ROW, MIXED, STATEMENT
	RowImage        string // FULL, MINIMAL, NOBLOB, FULL_NODUP
	RowMetadata     string // FULL, MINIMAL, NO_LOG; "" where the server does not know it
	RowValueOptions string // PARTIAL_JSON or ""
	Compression     bool   // binlog_transaction_compression (MySQL), log_bin_compress (MariaDB)
	Encryption      bool   // the log is encrypted on disk: of no consequence to a reader, which gets it in clear
	GTIDMode        bool   // positions carry a GTID set that a reader can start from
	GTIDPurged      string // MySQL only
	ReadOnly        bool

	ExpireAfter     time.Duration // how long the server keeps its binary log; 0: until it is purged by hand
	LowerCaseTables int           // lower_case_table_names
	MaxPacket       uint64        // max_allowed_packet
}

// VersionAtLeast compares the server's version with major.minor.patch.
func (s Server) VersionAtLeast(major, minor, patch int) bool {
	have := [3]int{}
	for i, part := range strings.SplitN(strings.TrimPrefix(s.Version, "5.5.5-"), ".", 3) {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		have[i], _ = strconv.Atoi(digits)
	}
	want := [3]int{major, minor, patch}
	for i := range want {
		if have[i] != want[i] {
			return have[i] > want[i]
		}
	}
	return true
}

const describeQuery = `SHOW GLOBAL VARIABLES WHERE Variable_name IN (
 'version', 'server_uuid', 'server_uid', 'server_id', 'log_bin', 'binlog_format', 'binlog_row_image', 'binlog_row_metadata',
 'binlog_row_value_options', 'binlog_transaction_compression', 'log_bin_compress', 'binlog_encryption', 'encrypt_binlog',
 'gtid_mode', 'gtid_purged', 'read_only', 'binlog_expire_logs_seconds', 'binlog_expire_logs_auto_purge', 'expire_logs_days',
 'lower_case_table_names', 'max_allowed_packet')`

// Describe asks the server what it is.
func Describe(ctx context.Context, conn *client.Conn) (Server, error) {
	rows, err := texts(ctx, conn, describeQuery)
	if err != nil {
		return Server{}, err
	}
	v := make(map[string]string, len(rows))
	for _, r := range rows {
		v[strings.ToLower(r[0])] = r[1]
	}
	if v["version"] == "" {
		return Server{}, &Error{Step: "describe the server", Err: errors.New("it does not tell its version"), Hint: "is this a MySQL server?"}
	}
	return describe(v), nil
}

// describe turns the server's variables into a Server.
func describe(v map[string]string) Server {
	on := func(names ...string) bool {
		for _, n := range names {
			if s := strings.ToUpper(v[n]); s == "ON" || s == "1" {
				return true
			}
		}
		return false
	}
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(v[name], 10, 64)
		return n
	}
	s := Server{
		Version: v["version"], UUID: v["server_uuid"], ServerID: uint32(number("server_id")),
		LogBin: on("log_bin"), BinlogFormat: strings.ToUpper(v["binlog_format"]), RowImage: strings.ToUpper(v["binlog_row_image"]),
		RowMetadata: strings.ToUpper(v["binlog_row_metadata"]), RowValueOptions: strings.ToUpper(v["binlog_row_value_options"]),
		Compression: on("binlog_transaction_compression", "log_bin_compress"), Encryption: on("binlog_encryption", "encrypt_binlog"),
		GTIDMode: on("gtid_mode"), GTIDPurged: strings.ReplaceAll(v["gtid_purged"], "\n", ""), ReadOnly: on("read_only"),
		LowerCaseTables: int(number("lower_case_table_names")), MaxPacket: number("max_allowed_packet"),
	}
	s.Flavor, _, _ = parseVersion(s.Version)
	if s.Flavor == MariaDB {
		s.GTIDMode = s.LogBin // every transaction has one
		s.UUID = fmt.Sprintf("mariadb-%d", s.ServerID)
		if uid := v["server_uid"]; uid != "" {
			s.UUID += "-" + uid
		}
	}
	s.ExpireAfter = time.Duration(number("binlog_expire_logs_seconds")) * time.Second
	if s.ExpireAfter == 0 {
		days, _ := strconv.ParseFloat(v["expire_logs_days"], 64) // MariaDB knows fractions
		s.ExpireAfter = time.Duration(days * float64(24*time.Hour))
	}
	if strings.EqualFold(v["binlog_expire_logs_auto_purge"], "OFF") {
		s.ExpireAfter = 0
	}
	return s
}
