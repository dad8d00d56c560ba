package main

import (
	"fmt"
	"strings"
)

// A workload is a kind of changes that costs differently from others. The sequence table seq holds the numbers from 1
// on; what a transaction writes is made of it, so that preparing is quick.
type workload struct {
	name    string
	about   string
	schema  []string                          // makes its tables, and rows that are there before
	table   string                            // that is selected; % at its end stands for any rest
	changes int64                             // how many are written; some more if the last transaction is not full
	rows    int64                             // changes in a transaction
	chosen  int64                             // of them in selected tables; 0: all
	write   func(first, rows int64) []string  // a transaction of the changes from first on
	all     func(first, changes int64) string // instead: a statement that writes all of them, a transaction each
}

// Tables that only are written to log their rows and keep none.
const keepsNone = " ENGINE=BLACKHOLE"

// seqRows is how many numbers the sequence table has: rows of a transaction cannot be more.
const seqRows = 1 << 14

// baselineShare says that the baselines read one in so many of the changes, from the first on, since they take many
// times as long. With too few of them they would look worse than they are: what they need grows over the first 100,000.
const baselineShare = 2

// manyTables is how many tables the workload of that name has.
const manyTables = 1000

// workloads are all but the first one, which the other measurements are made with as well: see fillTable.
func workloads() []workload {
	return []workload{
		{
			name: "transactions of one row", about: "the same table, each insert committed alone",
			schema:  []string{purchases("one_row", "")},
			table:   "one_row",
			changes: 150_000, rows: 1, all: oneByOne,
		},
		{
			name: "rows of 600 bytes", about: "a key, numbers and times, and four texts of 140 bytes",
			schema: []string{`CREATE TABLE rows600 (id BIGINT PRIMARY KEY, kind INT NOT NULL, made DATETIME(6) NOT NULL, amount DECIMAL(12,2) NOT NULL,
				a VARCHAR(200), b VARCHAR(200), c VARCHAR(200), d VARCHAR(200))` + keepsNone},
			table: "rows600", changes: 300_000, rows: 1000,
			write: inserts("rows600", `%[1]s, %[1]s %% 7, '2026-01-01' + INTERVAL %[1]s SECOND, %[1]s / 7, RPAD(%[1]s, 140, 'lorem ipsum '),
				RPAD(%[1]s, 140, 'dolor sit '), RPAD(%[1]s, 140, 'amet consectetur '), RPAD(%[1]s, 140, 'adipiscing ')`),
		},
		{
			name: "200 columns", about: "50 each of INT, VARCHAR, DECIMAL and DATETIME",
			schema: []string{wideTable("wide")},
			table:  "wide", changes: 30_000, rows: 200, write: inserts("wide", "%[1]s"+strings.Repeat(
				", %[1]s %% 1000, CONCAT('value ', %[1]s), %[1]s / 8, '2026-01-01' + INTERVAL %[1]s MINUTE", 50)),
		},
		{
			name: "JSON and text", about: "a JSON document of 40 values and a text of 2,000 characters with quotes and line feeds",
			schema: []string{"CREATE TABLE documents (id BIGINT PRIMARY KEY, body JSON NOT NULL, note TEXT NOT NULL)" + keepsNone},
			table:  "documents", changes: 50_000, rows: 200,
			write: inserts("documents", `%[1]s, JSON_OBJECT('id', %[1]s, 'customer', JSON_OBJECT('name', CONCAT('customer ', %[1]s), 'score', %[1]s / 3, 'active', true),
				'items', JSON_ARRAY(`+strings.TrimSuffix(strings.Repeat("JSON_OBJECT('sku', CONCAT('sku-', %[1]s), 'n', %[1]s %% 9, 'price', %[1]s / 100, 'note', NULL), ", 9), ", ")+`)),
				RPAD(%[1]s, 2000, 'She said "so it is",\nand left. ')`),
		},
		{
			name: "latin1", about: "five texts in latin1, a tenth of their characters beyond ASCII",
			schema: []string{`CREATE TABLE western (id BIGINT PRIMARY KEY, a VARCHAR(80), b VARCHAR(80), c VARCHAR(80), d VARCHAR(80), e VARCHAR(80))
				CHARACTER SET latin1` + keepsNone},
			table: "western", changes: 400_000, rows: 1000,
			write: inserts("western", `%[1]s, CONCAT('Straße in Zürich ', %[1]s), CONCAT('São Paulo, número ', %[1]s), CONCAT('Århus: rødgrød med fløde ', %[1]s),
				CONCAT('l''été où ça gèle ', %[1]s), CONCAT('¿mañana? ', %[1]s)`),
		},
		{
			name: "1,000 tables", about: "ten rows in each of ten tables a transaction, the tables in turn",
			schema: nil, // those of the measurement of growth
			table:  manyPrefix + "%", changes: 300_000, rows: 100, write: acrossTables(manyTables),
		},
		{
			name: "updates with before-images", about: "updates of all rows, binlog_row_image=FULL",
			schema: []string{purchases("updated", ""), "SET SESSION sql_log_bin = 0",
				"INSERT INTO updated SELECT n + 0, " + purchase("n") + " FROM seq WHERE n <= 10000", "SET SESSION sql_log_bin = 1"},
			table: "updated", changes: 400_000, rows: 1000,
			write: func(first, rows int64) []string {
				from := (first - 1) % 10_000
				return []string{fmt.Sprintf("UPDATE updated SET purchase_price = purchase_price + 0.01, transferred_from_id = %d WHERE sporting_event_ticket_id > %d AND sporting_event_ticket_id <= %d",
					first, from, from+rows)}
			},
		},
		{
			name: "90 % in tables that no rule selects", about: "of 1,000 rows of a transaction 900 in one such table",
			schema: []string{purchases("chosen", keepsNone), purchases("ignored", keepsNone), markerTable},
			table:  "chosen", changes: 1_000_000, rows: 1000, chosen: 100,
			write: func(first, rows int64) []string {
				return append(insertPurchases("ignored", first, rows*9/10), insertPurchases("chosen", first, rows/10)...)
			},
		},
	}
}

// Of the last workload: a table that alone is selected when the rest is to cost its framing and nothing else.
const (
	marker      = "marker"
	markerTable = "CREATE TABLE marker (id BIGINT PRIMARY KEY)" + keepsNone
)

// purchases makes a table like that of the ticket shop's purchase history.
func purchases(name, engine string) string {
	return "CREATE TABLE " + name + ` (sporting_event_ticket_id BIGINT NOT NULL, purchased_by_id INT NOT NULL, transaction_date_time DATETIME NOT NULL,
		transferred_from_id INT, purchase_price DECIMAL(8,2) NOT NULL,
		PRIMARY KEY (sporting_event_ticket_id, purchased_by_id, transaction_date_time))` + engine
}

// purchase is the rest of a row of such a table, behind the number of the ticket.
func purchase(n string) string {
	return fmt.Sprintf("%[1]s * 7919 %% 1000003, '2026-01-01' + INTERVAL %[1]s SECOND, IF(%[1]s %% 4 = 0, %[1]s %% 1000003, NULL), %[1]s %% 50000 / 100", n)
}

func insertPurchases(table string, first, rows int64) []string {
	n := fmt.Sprintf("(n + %d)", first-1)
	return []string{fmt.Sprintf("INSERT INTO %s SELECT %s, %s FROM seq WHERE n <= %d", table, n, purchase(n), rows)}
}

// inserts writes rows with these values, where %[1]s is the row's number.
func inserts(table, values string) func(first, rows int64) []string {
	return func(first, rows int64) []string {
		row := fmt.Sprintf(values, fmt.Sprintf("(n + %d)", first-1))
		return []string{fmt.Sprintf("INSERT INTO %s SELECT %s FROM seq WHERE n <= %d", table, row, rows)}
	}
}

func wideTable(name string) string {
	columns := make([]string, 50)
	for i := range columns {
		columns[i] = fmt.Sprintf("i%[1]d INT, v%[1]d VARCHAR(40), d%[1]d DECIMAL(12,3), t%[1]d DATETIME", i)
	}
	return "CREATE TABLE " + name + " (id BIGINT PRIMARY KEY, " + strings.Join(columns, ", ") + ")" + keepsNone
}

// oneByOne calls a procedure that inserts rows one by one, each in a transaction of its own.
func oneByOne(first, changes int64) string {
	return fmt.Sprintf("CALL one_by_one(%d, %d)", first, first+changes-1)
}

var oneByOneProcedure = `CREATE PROCEDURE one_by_one(n BIGINT, last BIGINT)
	WHILE n <= last DO
		INSERT INTO one_row VALUES (n, ` + purchase("n") + `);
		SET n = n + 1;
	END WHILE`

// manyPrefix begins the names of the tables whose number grows.
const manyPrefix = "many_"

func manyTable(i int64) string { return fmt.Sprintf("%s%04d", manyPrefix, i) }

// acrossTables writes ten rows to each of ten tables a transaction, whatever the number of tables is: the same
// statements in the same order, to the next tables of a ring of them.
func acrossTables(tables int64) func(first, rows int64) []string {
	const each = 10
	return func(first, rows int64) (statements []string) {
		for i := int64(0); i < rows; i += each {
			statement := (first - 1 + i) / each
			statements = append(statements, insertPurchases(manyTable(statement%tables), first+i, each)...)
		}
		return statements
	}
}
