package source

import (
	"context"
	"fmt"
	"strconv"

	"github.com/go-mysql-org/go-mysql/client"
)

// Collation is a collation of the server and the character set that it belongs to.
type Collation struct {
	Name    string
	Charset string
	MaxLen  int // bytes of the longest character
}

// Collations are the server's collations by number, which is how table maps name them.
func Collations(ctx context.Context, conn *client.Conn) (map[uint64]Collation, error) {
	const step = "list collations"
	sizes, err := texts(ctx, conn, "SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS")
	if err != nil {
		return nil, err
	}
	maxLen := make(map[string]int, len(sizes))
	for _, r := range sizes {
		if maxLen[r[0]], err = strconv.Atoi(r[1]); err != nil {
			return nil, &Error{Step: step, Err: err}
		}
	}
	query := "SELECT ID, COLLATION_NAME, CHARACTER_SET_NAME FROM information_schema.COLLATIONS"
	if f, major, minor := parseVersion(conn.GetServerVersion()); f == MariaDB && (major > 10 || minor >= 10) {
		// From 10.10 on, one collation may serve several character sets, each under a number of its own.
		query = "SELECT ID, FULL_COLLATION_NAME, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
	}
	rows, err := texts(ctx, conn, query)
	if err != nil {
		return nil, err
	}
	out := make(map[uint64]Collation, len(rows))
	for _, r := range rows {
		if r[0] == "" {
			continue // not tied to one character set, so no column has it
		}
		id, err := strconv.ParseUint(r[0], 10, 64)
		if err != nil {
			return nil, &Error{Step: step, Err: fmt.Errorf("collation %s: %w", r[1], err)}
		}
		out[id] = Collation{Name: r[1], Charset: r[2], MaxLen: maxLen[r[2]]}
	}
	return out, nil
}
