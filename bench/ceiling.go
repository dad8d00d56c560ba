package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// ceilingPart measures the memory of the replicating half under the largest and oddest input there is.
const ceilingPart = "ceiling"

// extreme is one such input. Tables are in an engine that logs rows and keeps none, except where rows are updated.
type extreme struct {
	name    string
	maria   bool
	sql     []string
	changes int64  // records that must arrive
	refusal string // or the error that it must end with
	spill   bool   // a record is too large for the stream, and is to be stored beside it
	usual   bool   // measured in every run
	deliver bool   // through the delivering half as well
}

const (
	kept    = "CREATE TABLE big (id BIGINT PRIMARY KEY, body LONGTEXT NOT NULL)"
	logged  = kept + " ENGINE=BLACKHOLE"
	other   = "CREATE TABLE other (id BIGINT PRIMARY KEY, body LONGTEXT NOT NULL) ENGINE=BLACKHOLE"
	afterIt = "INSERT INTO big VALUES (0, 'the last')"

	// More rows than there are records that announce the start, so that what is before them is through when they are.
	smallRows = 100
	afterAll  = "INSERT INTO big SELECT -n, 'small' FROM seq WHERE n <= 100"
)

func allExtremes(mib int64) []extreme {
	compressed := "SET SESSION binlog_transaction_compression = ON"
	rows := mib * 16
	// Of the 64 KiB of a row, so many random hexadecimal digits, which take half their length when compressed.
	insert := func(table string, digits int) string {
		return fmt.Sprintf(`INSERT INTO %s SELECT seq.n, CONCAT(LEFT(pool.body, %d), RPAD(seq.n, %d, 'x')) FROM seq JOIN pool ON pool.id = seq.n %% %d WHERE seq.n <= %d`,
			table, digits, 65536-digits, poolRows, rows)
	}
	row := func(id int, mib int) string {
		return fmt.Sprintf("INSERT INTO big SELECT %d, REPEAT('%d', %d)", id, id%10, mib<<20)
	}
	highest := strings.ReplaceAll(insert("big", 16384), fmt.Sprintf("seq.n <= %d", rows), "seq.n <= 4096")
	giant := func(id int) string { return fmt.Sprintf("INSERT INTO other SELECT %d, REPEAT('x', %d)", id, 500<<20) }
	const tooBig, tooLarge = "is larger than the 10485760 bytes", "too large to be held in memory"
	tenMB := []string{kept}
	for i := range 40 {
		tenMB = append(tenMB, fmt.Sprintf("INSERT INTO big SELECT %d, REPEAT('%d', 9900000)", i, i%10))
	}
	return []extreme{
		{name: fmt.Sprintf("transaction of %d MiB", mib), sql: []string{logged, insert("big", 16384), afterIt}, changes: rows + 1, usual: true, deliver: true},
		{name: fmt.Sprintf("compressed transaction of %d MiB, payload an eighth", mib), sql: []string{logged, compressed, insert("big", 16384), afterIt}, changes: rows + 1},
		{name: fmt.Sprintf("compressed transaction of %d MiB, payload nearly half", mib), sql: []string{logged, compressed, insert("big", 60000), afterIt}, changes: rows + 1},
		{name: "compressed transaction of 256 MiB at the highest level", sql: []string{logged, compressed, "SET SESSION binlog_transaction_compression_level_zstd = 22", highest, afterIt}, changes: 4097},
		{name: fmt.Sprintf("compressed transaction of %d MiB of zeros", mib), sql: []string{logged, compressed, insert("big", 0), afterIt}, changes: rows + 1},
		{name: "row of 64 MiB, refused", sql: []string{kept, row(1, 64)}, refusal: tooBig, usual: true},
		{name: "row of 60 MiB, stored beside the stream", sql: []string{kept, row(1, 60), afterAll}, spill: true, changes: smallRows + 1, usual: true},
		{name: "update of a row of 64 MiB, refused", sql: []string{"SET sql_log_bin = 0", kept, row(1, 64), "SET sql_log_bin = 1",
			"UPDATE big SET body = REPEAT('y', LENGTH(body))"}, refusal: tooBig},
		{name: "row of 300 MiB, refused", sql: []string{logged, row(1, 300)}, refusal: tooLarge},
		{name: "rows of 500 MiB of a table that is not selected", sql: []string{logged, other, giant(1), giant(2), afterIt}, changes: 1},
		{name: "the same in a compressed transaction", sql: []string{logged, other, compressed, "BEGIN", giant(1), giant(2), afterIt, "COMMIT"}, changes: 1},
		{name: "40 rows of 9.9 MB in a transaction each", sql: tenMB, changes: 40},
		{name: "the same in one transaction", sql: append(append([]string{kept, "BEGIN"}, tenMB[1:]...), "COMMIT"), changes: 40},
		{name: "the same in one compressed transaction", sql: append(append([]string{kept, compressed, "BEGIN"}, tenMB[1:]...), "COMMIT"), changes: 40},
		{name: "XA transaction of 60 MiB in one phase", sql: append(append([]string{kept, "XA START 'x'"}, tenMB[1:7]...), "XA END 'x'", "XA COMMIT 'x' ONE PHASE"), changes: 6},
		{name: "XA transaction of 80 MiB, refused", sql: append(append([]string{kept, "XA START 'x'"}, tenMB[1:9]...), "XA END 'x'", "XA COMMIT 'x' ONE PHASE"), refusal: "XA transaction changes more than 64 MiB"},
		{name: fmt.Sprintf("MariaDB: transaction of %d MiB", mib), maria: true, sql: []string{logged, insert("big", 16384), afterIt}, changes: rows + 1},
		{name: fmt.Sprintf("MariaDB: transaction of %d MiB, rows compressed", mib), maria: true, sql: []string{"SET GLOBAL log_bin_compress = ON", logged, insert("big", 16384), afterIt, "SET GLOBAL log_bin_compress = OFF"}, changes: rows + 1},
		{name: "MariaDB: row of 64 MiB, refused", maria: true, sql: []string{kept, row(1, 64)}, refusal: tooBig},
		{name: "MariaDB: update of a row of 64 MiB, compressed, refused", maria: true, sql: []string{"SET SESSION sql_log_bin = 0", kept, row(1, 64), "SET SESSION sql_log_bin = 1",
			"SET GLOBAL log_bin_compress = ON", "UPDATE big SET body = REPEAT('y', LENGTH(body))", "SET GLOBAL log_bin_compress = OFF"}, refusal: tooBig},
		{name: "MariaDB: row of 300 MiB, compressed, refused", maria: true, sql: []string{"SET GLOBAL log_bin_compress = ON", logged, row(1, 300), "SET GLOBAL log_bin_compress = OFF"}, refusal: tooLarge},
		{name: "MariaDB: rows of 500 MiB of a table that is not selected", maria: true, sql: []string{logged, other, giant(1), giant(2), afterIt}, changes: 1},
		{name: "MariaDB: a statement of 60 MiB beside a small row", maria: true, sql: []string{logged, "INSERT INTO big VALUES (1, 'x') /*" + strings.Repeat("long ", 12<<20) + "*/", afterIt}, changes: 2},
		{name: "a statement of 60 MiB beside a small row", sql: []string{logged, "SET SESSION binlog_rows_query_log_events = ON", "INSERT INTO big VALUES (1, 'x') /*" + strings.Repeat("long ", 12<<20) + "*/", afterIt}, changes: 2},
	}
}

// Sources of rows: numbers, and texts that cannot be compressed to less than half.
const poolRows = 512

func fillPool(ctx context.Context, s *dbserver.Server, rows int64) error {
	sql := []string{
		"SET SESSION sql_log_bin = 0", "CREATE DATABASE ceiling CHARACTER SET latin1", "USE ceiling",
		"CREATE TABLE seq (n BIGINT PRIMARY KEY)", "CREATE TABLE pool (id INT PRIMARY KEY, body LONGTEXT NOT NULL)",
		"INSERT INTO seq VALUES (1)",
	}
	for n := int64(1); n < rows; n *= 2 {
		sql = append(sql, fmt.Sprintf("INSERT INTO seq SELECT n + %d FROM seq", n))
	}
	random := make([]byte, 32<<10)
	for i := range poolRows {
		_, _ = rand.Read(random)
		sql = append(sql, fmt.Sprintf("INSERT INTO pool VALUES (%d, '%s')", i, hex.EncodeToString(random)))
	}
	return s.Exec(ctx, sql...)
}

// ceiling runs every extreme, or those whose names were asked for.
func (b *bench) ceiling(ctx context.Context) error {
	return b.extremes(ctx, func(x extreme) bool { return b.wanted(x.name) })
}

// extremes runs the wanted ones, each on a server of its flavor.
func (b *bench) extremes(ctx context.Context, wanted func(extreme) bool) error {
	for _, f := range []struct {
		flavor dbserver.Flavor
		flags  []string
	}{
		{dbserver.MySQL, []string{"--innodb-redo-log-capacity=4G", "--max-allowed-packet=1G", "--innodb-doublewrite=OFF", "--max-binlog-size=1G"}},
		{dbserver.MariaDB, []string{"--innodb-log-file-size=4G", "--max-allowed-packet=1G", "--max-binlog-size=1G"}},
	} {
		if err := b.extremesOf(ctx, f.flavor, f.flags, wanted); err != nil {
			return fmt.Errorf("%s: %w", f.flavor, err)
		}
	}
	return nil
}

func (b *bench) extremesOf(ctx context.Context, flavor dbserver.Flavor, flags []string, wanted func(extreme) bool) error {
	var all []extreme
	for _, x := range allExtremes(b.Ceiling) {
		if x.maria == (flavor == dbserver.MariaDB) && wanted(x) {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return nil
	}
	dir := filepath.Join(b.dir, string(flavor)+"-ceiling")
	db, err := dbserver.Start(ctx, dir, dbserver.Options{Flavor: flavor, Flags: flags, Template: true})
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer db.Kill()
	b.report.server(db)
	if err := fillPool(ctx, db, b.Ceiling*16); err != nil {
		return err
	}
	for _, x := range all {
		if x.maria {
			for i := range x.sql { // it comes without that engine
				x.sql[i] = strings.TrimSuffix(x.sql[i], " ENGINE=BLACKHOLE")
			}
		}
		if err := b.extreme(ctx, db, x); err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
	}
	return nil
}

// extreme writes one input, replicates it, and notes the memory that took.
func (b *bench) extreme(ctx context.Context, db *dbserver.Server, x extreme) error {
	progress("writing: %s", x.name)
	at, err := binlogEnd(ctx, db)
	if err != nil {
		return err
	}
	if err := db.Exec(ctx, append([]string{"USE ceiling"}, x.sql...)...); err != nil {
		return err
	}
	p := params{Port: db.Port, File: at.file, Offset: at.offset, Changes: x.changes, Database: "ceiling", Table: "big", Refusal: x.refusal, Profile: b.profiles}
	step := "stream ours"
	switch {
	case x.refusal != "":
		step = "refusal ours"
	case x.spill:
		step = "spill ours"
	}
	m, err := b.onStub(ctx, step, p, nil)
	if err != nil {
		return err
	}
	b.report.memory("replicate, "+x.name, m)
	if x.deliver {
		if err := b.deliverExtreme(ctx, x.name, p); err != nil {
			return err
		}
	}
	return db.Exec(ctx, "DROP TABLE IF EXISTS ceiling.big, ceiling.other", "FLUSH BINARY LOGS")
}

// deliverExtreme has the records of an input delivered.
func (b *bench) deliverExtreme(ctx context.Context, name string, p params) error {
	p, err := b.records(ctx, p, 0)
	if err != nil {
		return err
	}
	defer removeRecords(p)
	m, err := b.onStub(ctx, "deliver ours", p, nil)
	if err != nil {
		return err
	}
	b.report.memory("deliver, "+name, m)
	return nil
}
