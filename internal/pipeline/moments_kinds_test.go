package pipeline_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// null stands for NULL among texts.
const null = "\x00NULL"

// kind is a column type, with all that is needed to write its values, and to bring a value from the binlog, from a
// record and from a SELECT into one and the same text.
type kind struct {
	ddl     string
	key     bool                               // fit for a key
	literal func(r *rand.Rand, n int) string   // value number n in SQL; r picks one of the ways to write it
	image   func(v any) string                 // of a value as the replication library reads it from a row image
	expr    string                             // of the column in a SELECT; "": the column itself
	text    func(s string) string              // of what the SELECT gives; nil: as it is
	json    func(v any) (text string, ok bool) // of what stands in the record; nil: a string
}

// fromJSON brings a record's value into the common text.
func (k *kind) fromJSON(v any) (string, bool) {
	if v == nil {
		return null, true
	}
	if k.json != nil {
		return k.json(v)
	}
	s, ok := v.(string)
	return s, ok
}

func (k *kind) fromImage(v any) string {
	if v == nil {
		return null
	}
	return k.image(v)
}

func (k *kind) fromText(s string) string {
	if k.text != nil {
		return k.text(s)
	}
	return s
}

func jsonNumber(v any) (string, bool) {
	n, ok := v.(json.Number)
	return string(n), ok
}

func plain(v any) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return fmt.Sprint(v)
}

// unsigned reads a number whose sign the library knows only where the binlog has it.
func unsigned(v any, bits int) string {
	n := new(big.Int)
	n.SetString(plain(v), 10)
	if n.Sign() < 0 {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	}
	return n.String()
}

// decimal writes a number without what does not count.
func decimal(s string) string {
	n, ok := new(big.Rat).SetString(s)
	if !ok {
		return "no number: " + s
	}
	return n.RatString()
}

func iso(s string) string { return strings.Replace(s, " ", "T", 1) + "Z" }

func hexadecimal(v any) string { return "0x" + hex.EncodeToString([]byte(plain(v))) }

// latin1 decodes the part of the character set that the test writes.
func latin1(v any) string {
	var b strings.Builder
	for _, c := range []byte(plain(v)) {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// word is text number n. Case, accents and trailing spaces vary, so that under most collations the same row is meant
// by texts that differ.
func word(r *rand.Rand, n int) string {
	base := [...]string{"key", "KEY", "kéy", "Kéy"}[r.IntN(4)]
	return fmt.Sprintf("'%s %d%s'", base, n, strings.Repeat(" ", max(0, r.IntN(5)-2)))
}

func number(format string) func(*rand.Rand, int) string {
	return func(_ *rand.Rand, n int) string { return fmt.Sprintf(format, n) }
}

func text(ddl string, key bool) *kind {
	return &kind{ddl: ddl, key: key, literal: word, image: plain}
}

// large is a long value: a few bytes up to 20 kB.
func large(r *rand.Rand, n int) string {
	return fmt.Sprintf("REPEAT('%02x', %d)", n%256, r.IntN(100)*r.IntN(100))
}

var labels = []string{"zebra", "ape", "Mule", "yak", "bee"}

// kinds gives the column types that are used on a server.
func kinds(f dbserver.Flavor) []*kind {
	fine := "utf8mb4_0900_ai_ci"
	if f == dbserver.MariaDB {
		fine = "utf8mb4_uca1400_ai_ci"
	}
	latin := text("VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_swedish_ci", true)
	latin.image = latin1
	return []*kind{
		{ddl: "INT", key: true, json: jsonNumber, image: plain, literal: func(_ *rand.Rand, n int) string { return fmt.Sprint(n*7 - 50) }},
		{ddl: "BIGINT UNSIGNED", key: true, json: jsonNumber,
			literal: func(_ *rand.Rand, n int) string { return fmt.Sprint(uint64(1<<63) + uint64(n) - 20) },
			image:   func(v any) string { return unsigned(v, 64) }},
		{ddl: "SMALLINT UNSIGNED", key: true, json: jsonNumber,
			literal: func(_ *rand.Rand, n int) string { return fmt.Sprint(32768 + n - 20) },
			image:   func(v any) string { return unsigned(v, 16) }},
		{ddl: "DECIMAL(14,3)", key: true,
			literal: func(_ *rand.Rand, n int) string { return fmt.Sprintf("%d.%03d", n-40, n*37%1000) },
			image:   func(v any) string { return decimal(plain(v)) }, text: decimal,
			json: func(v any) (string, bool) {
				s, ok := jsonNumber(v)
				return decimal(s), ok
			}},
		text("VARCHAR(40) CHARACTER SET utf8mb4 COLLATE "+fine, true),
		text("VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", true),
		text("VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", true),
		text("CHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", true),
		latin,
		{ddl: "VARBINARY(16)", key: true, literal: number("x'ff00%04x'"), image: hexadecimal, expr: "CONCAT('0x', LOWER(HEX(%s)))"},
		{ddl: "BINARY(6)", key: true, literal: number("x'ff%04x00'"), expr: "CONCAT('0x', LOWER(HEX(%s)))",
			image: func(v any) string { s := hexadecimal(v); return s + strings.Repeat("0", 14-len(s)) }},
		{ddl: "DATETIME(6)", key: true, literal: number("'2024-02-29 23:59:58.%06d'"), image: func(v any) string { return iso(plain(v)) }, text: iso},
		{ddl: "TIMESTAMP(3)", key: true, text: iso, image: func(v any) string { return iso(plain(v)) },
			literal: func(_ *rand.Rand, n int) string {
				return fmt.Sprintf("'2024-03-31 0%d:%02d:00.%03d'", n/60%10, n%60, n*7%1000)
			}},
		{ddl: "DATE", key: true, image: plain, literal: func(_ *rand.Rand, n int) string {
			return fmt.Sprintf("'%04d-%02d-%02d'", 1990+n/336, n/28%12+1, n%28+1)
		}},
		{ddl: "ENUM('" + strings.Join(labels, "','") + "')", key: true,
			literal: func(_ *rand.Rand, n int) string { return "'" + labels[n%len(labels)] + "'" },
			image:   func(v any) string { return labels[v.(int64)-1] }},
		{ddl: "MEDIUMTEXT CHARACTER SET utf8mb4", literal: large, image: plain},
		{ddl: "LONGBLOB", literal: large, image: hexadecimal, expr: "CONCAT('0x', LOWER(HEX(%s)))"},
	}
}

// version is the kind of the column that says which change of a row is meant.
var version = &kind{ddl: "BIGINT", json: jsonNumber, image: plain}
