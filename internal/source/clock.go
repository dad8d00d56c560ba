package source

import (
	"context"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
)

// Clock is the time on the server's clock, by which it stamps its transactions.
func Clock(ctx context.Context, conn *client.Conn) (time.Time, error) {
	const query = "SELECT UTC_TIMESTAMP(6)"
	text, err := value(ctx, conn, query)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse("2006-01-02 15:04:05.999999", text)
	if err != nil {
		return time.Time{}, &Error{Step: query, Err: err}
	}
	return t, nil
}
