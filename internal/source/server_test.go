package source

import (
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestDescribeVariables(t *testing.T) {
	for name, c := range map[string]struct {
		vars map[string]string
		want Server
	}{
		"MySQL 5.7 on RDS": {
			map[string]string{
				"version": "5.7.44-log", "server_uuid": "u", "server_id": "12", "log_bin": "ON", "binlog_format": "MIXED",
				"binlog_row_image": "full", "gtid_mode": "OFF_PERMISSIVE", "expire_logs_days": "3", "lower_case_table_names": "0",
				"max_allowed_packet": "67108864",
			},
			Server{
				Flavor: MySQL, Version: "5.7.44-log", UUID: "u", ServerID: 12, LogBin: true, BinlogFormat: "MIXED", RowImage: "FULL",
				ExpireAfter: 72 * time.Hour, MaxPacket: 64 << 20,
			},
		},
		"MySQL 8.4": {
			map[string]string{
				"version": "8.4.3", "server_uuid": "u", "server_id": "1", "log_bin": "ON", "binlog_format": "ROW", "binlog_row_image": "MINIMAL",
				"binlog_row_metadata": "FULL", "binlog_row_value_options": "PARTIAL_JSON", "binlog_transaction_compression": "ON",
				"gtid_mode": "ON", "gtid_purged": "a:1-5,\nb:1", "binlog_expire_logs_seconds": "3600", "read_only": "ON",
			},
			Server{
				Flavor: MySQL, Version: "8.4.3", UUID: "u", ServerID: 1, LogBin: true, BinlogFormat: "ROW", RowImage: "MINIMAL", RowMetadata: "FULL",
				RowValueOptions: "PARTIAL_JSON", Compression: true, GTIDMode: true, GTIDPurged: "a:1-5,b:1", ReadOnly: true, ExpireAfter: time.Hour,
			},
		},
		"purging turned off": {
			map[string]string{"version": "8.0.30", "binlog_expire_logs_seconds": "3600", "binlog_expire_logs_auto_purge": "OFF"},
			Server{Flavor: MySQL, Version: "8.0.30"},
		},
		"MariaDB": {
			map[string]string{
				"version": "10.11.6-MariaDB-log", "server_uid": "xyz=", "server_id": "3", "log_bin": "ON", "expire_logs_days": "0.500000",
				"encrypt_binlog": "ON",
			},
			Server{
				Flavor: MariaDB, Version: "10.11.6-MariaDB-log", UUID: "mariadb-3-xyz=", ServerID: 3, LogBin: true, GTIDMode: true,
				ExpireAfter: 12 * time.Hour, Encryption: true,
			},
		},
	} {
		if got := describe(c.vars); got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, c.want)
		}
	}
}

func TestVersions(t *testing.T) {
	for v, c := range map[string]struct {
		flavor Flavor
		old    bool
	}{
		"5.6.51": {MySQL, true}, "5.7.44-log": {MySQL, false}, "9.7.0": {MySQL, false},
		"5.5.5-10.4.34-MariaDB-1": {MariaDB, true}, "5.5.5-10.5.8-MariaDB": {MariaDB, false}, "11.4.2-MariaDB": {MariaDB, false},
	} {
		f, major, minor := parseVersion(v)
		if f != c.flavor || tooOld(f, major, minor) != c.old {
			t.Errorf("%s: %s, too old: %v", v, f, tooOld(f, major, minor))
		}
	}
	s := Server{Version: "8.0.26-17"}
	if !s.VersionAtLeast(8, 0, 26) || !s.VersionAtLeast(5, 7, 44) || s.VersionAtLeast(8, 0, 27) || s.VersionAtLeast(8, 2, 0) {
		t.Errorf("%s is compared wrongly", s.Version)
	}
}

func TestDescribeRealServer(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, f Flavor) {
		conn := open(t, s)
		got, err := Describe(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		if got.Flavor != f || !got.LogBin || !got.GTIDMode || got.BinlogFormat != "ROW" || got.RowImage != "FULL" || got.UUID == "" || got.ServerID == 0 {
			t.Errorf("got %+v", got)
		}
		before, err := CurrentPosition(t.Context(), conn, got)
		if err != nil {
			t.Fatal(err)
		}
		db := s.Database(t)
		s.MustExec(t, "CREATE TABLE "+db+".t (a INT)")
		after, err := CurrentPosition(t.Context(), conn, got)
		if err != nil {
			t.Fatal(err)
		}
		if !before.Before(after) || before.GTIDSet == after.GTIDSet || after.GTIDSet == "" || after.ServerUUID != got.UUID {
			t.Errorf("position went from %+v to %+v", before, after)
		}
		logs, err := BinaryLogs(t.Context(), conn)
		if err != nil || len(logs) == 0 || logs[len(logs)-1].Name != after.File || logs[len(logs)-1].Size < after.Offset {
			t.Errorf("logs are %v, %v, the position is %v", logs, err, after)
		}
	})
}
