package demo

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"golang.org/x/sync/errgroup"
)

// counters is what the sellers have committed.
type counters struct{ changes, sold, returned, resold, people atomic.Int64 }

// sales is a reading of counters.
type sales struct {
	total                           int64 // rows before the first sale
	changes, sold, returned, resold int64
}

func (s *shop) figures() sales {
	c := &s.counts
	return sales{s.size.total(), c.changes.Load(), c.sold.Load(), c.returned.Load(), c.resold.Load()}
}

// sellers work side by side; each has tickets of its own, so that none waits for another.
const sellers = 2

// sell keeps selling, reselling and taking back tickets until ctx is done. It begins when started says so: what
// is sold before the pipeline has taken its start position would not be seen as a change.
func (s *shop) sell(ctx context.Context, started func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !started() {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range sellers {
		group.Go(func() error { return s.seller(ctx, i) })
	}
	return group.Wait()
}

// seller is one counter of the shop. Business comes in waves.
func (s *shop) seller(ctx context.Context, number int) error {
	conn, err := s.server.Connect(context.WithoutCancel(ctx), schemaName)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, q := range []string{"SET NAMES utf8mb4", "SET time_zone = '+00:00'"} {
		if _, err := conn.Execute(q); err != nil {
			return fmt.Errorf("prepare a seller: %w", err)
		}
	}
	clerk := &clerk{shop: s, conn: conn, number: number, r: rand.New(rand.NewPCG(uint64(number), uint64(time.Now().UnixNano())))}
	begun := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := clerk.serve(); err != nil {
			return fmt.Errorf("sell tickets: %w", err)
		}
		wave := 1 + 0.75*math.Sin(time.Since(begun).Seconds()/4+float64(number))
		timer.Reset(time.Duration(float64(12*time.Millisecond) / wave))
	}
}

// clerk is a seller at work.
type clerk struct {
	*shop
	conn   *client.Conn
	number int
	r      *rand.Rand
}

// serve serves one customer, in one transaction.
func (c *clerk) serve() error {
	switch n := c.r.IntN(100); {
	case n < 62:
		return c.commit(c.buy)
	case n < 82:
		return c.commit(c.resell)
	case n < 97:
		return c.commit(c.takeBack)
	default:
		return c.commit(c.newCustomer)
	}
}

// commit runs one customer's wishes and counts them once they are durable.
func (c *clerk) commit(wish func() (changes int64, counted *atomic.Int64, times int64, err error)) error {
	if err := c.conn.Begin(); err != nil {
		return err
	}
	changes, counted, times, err := wish()
	if err != nil {
		return err
	}
	if err := c.conn.Commit(); err != nil {
		return err
	}
	c.counts.changes.Add(changes)
	counted.Add(times)
	return nil
}

// ticket is one that only this clerk sells.
func (c *clerk) ticket() int { return 1 + c.r.IntN(c.size.tickets/sellers)*sellers + c.number }

func (c *clerk) person() int { return 1 + c.r.IntN(c.size.people) }

func (c *clerk) price() string { return fmt.Sprintf("%d.%02d", 18+c.r.IntN(180), 5*c.r.IntN(20)) }

// buy sells a few seats to one person. An update that leaves a row as it was is none: MySQL doesn't log it, and
// the server says so.
func (c *clerk) buy() (int64, *atomic.Int64, int64, error) {
	buyer, seats, changes := c.person(), 1+c.r.IntN(4), int64(0)
	for range seats {
		n, err := c.hand(c.ticket(), buyer, "NULL")
		if err != nil {
			return 0, nil, 0, err
		}
		changes += n
	}
	return changes, &c.counts.sold, int64(seats), nil
}

// hand gives a ticket to a person and writes the history.
func (c *clerk) hand(ticket, to int, from string) (int64, error) {
	price := c.price()
	return c.execute(
		fmt.Sprintf("UPDATE sporting_event_ticket SET holder_id = %d, price = %s WHERE id = %d", to, price, ticket),
		fmt.Sprintf("INSERT INTO ticket_purchase_hist VALUES (%d, %d, NOW(6), %s, %s, %s)", ticket, to, from, price, note(c.r)),
	)
}

// resell hands one ticket from one person to another.
func (c *clerk) resell() (int64, *atomic.Int64, int64, error) {
	n, err := c.hand(c.ticket(), c.person(), fmt.Sprint(c.person()))
	return n, &c.counts.resold, 1, err
}

// takeBack returns a ticket: its newest purchase never was.
func (c *clerk) takeBack() (int64, *atomic.Int64, int64, error) {
	ticket := c.ticket()
	n, err := c.execute(
		fmt.Sprintf("DELETE FROM ticket_purchase_hist WHERE sporting_event_ticket_id = %d ORDER BY transaction_date_time DESC LIMIT 1", ticket),
		fmt.Sprintf("UPDATE sporting_event_ticket SET holder_id = NULL WHERE id = %d", ticket),
	)
	return n, &c.counts.returned, 1, err
}

func (c *clerk) newCustomer() (int64, *atomic.Int64, int64, error) {
	n, err := c.execute("INSERT INTO person VALUES (NULL, " + newPerson(c.r, c.r.IntN(1e6)) + ")")
	return n, &c.counts.people, 1, err
}

// execute runs statements and returns how many rows they changed.
func (c *clerk) execute(statements ...string) (changed int64, err error) {
	for _, q := range statements {
		r, err := c.conn.Execute(q)
		if err != nil {
			return 0, fmt.Errorf("%.80s: %w", q, err)
		}
		changed += int64(r.AffectedRows)
	}
	return changed, nil
}
