package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// shop is the ticket-selling company: its tables and what happens in them.
type shop struct {
	server *dbserver.Server
	size   size
	counts counters
}

// size is how many rows there are before the pipeline starts.
type size struct{ locations, teams, people, events, tickets, purchases int }

// newShop sizes the tables around the purchases: a ticket changes hands four times.
func newShop(server *dbserver.Server, purchases int) *shop {
	tickets := max(purchases/4, 100)
	return &shop{server: server, size: size{
		locations: 24, teams: 48, people: max(purchases/30, 100), events: max(tickets/200, 1), tickets: tickets, purchases: purchases,
	}}
}

func (s size) total() int64 {
	return int64(s.locations + s.teams + s.people + s.events + s.tickets + s.purchases)
}

// rowsAtATime go into one INSERT: some 100 KiB of text, far below any server's packet limit.
const rowsAtATime = 1000

// open makes the tables and fills them. progress is told what is being done, and how much of it is.
func (s *shop) open(ctx context.Context, progress func(what string, done float64)) error {
	conn, err := s.server.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer conn.Close()
	statements := []string{"SET NAMES utf8mb4", "SET time_zone = '+00:00'", "SET foreign_key_checks = 0",
		"CREATE DATABASE " + schemaName + " CHARACTER SET utf8mb4", "USE " + schemaName}
	for _, t := range tables {
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s (%s\n) ENGINE=InnoDB", t.name, t.definition))
	}
	for _, q := range statements {
		if _, err := conn.Execute(q); err != nil {
			return fmt.Errorf("make the demo's tables: %.80s: %w", q, err)
		}
	}
	done := int64(0)
	for _, t := range s.stock() {
		for from := 0; from < t.rows; from += rowsAtATime {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			to := min(from+rowsAtATime, t.rows)
			if err := insert(conn, t.table, from, to, t.row); err != nil {
				return err
			}
			done += int64(to - from)
			progress(fmt.Sprintf("printing %s tickets", thousands(int64(s.size.purchases))), float64(done)/float64(s.size.total()))
		}
	}
	return nil
}

func insert(conn *client.Conn, table string, from, to int, row func(b *strings.Builder, i int)) error {
	var b strings.Builder
	b.WriteString("INSERT INTO " + table + " VALUES ")
	for i := from; i < to; i++ {
		if i > from {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		row(&b, i)
		b.WriteByte(')')
	}
	if _, err := conn.Execute(b.String()); err != nil {
		return fmt.Errorf("fill the demo's table %s: %w", table, err)
	}
	return nil
}

// filling is one table's rows, by number.
type filling struct {
	table string
	rows  int
	row   func(b *strings.Builder, i int)
}

// stock is everything there is before the first sale. The same number of rows gives the same rows every time.
func (s *shop) stock() []filling {
	r := rand.New(rand.NewPCG(1, 2))
	season := time.Date(time.Now().Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	return []filling{
		{"sport_location", s.size.locations, func(b *strings.Builder, i int) {
			fmt.Fprintf(b, "%d,'%s %s','%s',%d,%.6f,%.6f,%d", i+1, cities[i%len(cities)], []string{"Arena", "Park", "Stadium"}[i%3],
				cities[i%len(cities)], 5000+r.IntN(60000), 36+r.Float64()*34, -9+r.Float64()*33, 1950+r.IntN(75))
		}},
		{"sport_team", s.size.teams, func(b *strings.Builder, i int) {
			city := cities[i%len(cities)]
			fmt.Fprintf(b, "%d,'%s %s','%.3s',%d,%d,%d", i+1, city, animals[i%len(animals)], strings.ToUpper(plain(city)), 1+i%3, 1+r.IntN(63), 1+i%s.size.locations)
		}},
		{"person", s.size.people, func(b *strings.Builder, i int) { b.WriteString(fmt.Sprint(i+1, ",") + newPerson(r, i+1)) }},
		{"sporting_event", s.size.events, func(b *strings.Builder, i int) {
			home := r.IntN(s.size.teams)
			fmt.Fprintf(b, "%d,%d,%d,%d,'%s','%02d:30:00',0", i+1, home+1, (home+3)%s.size.teams+1, home%s.size.locations+1,
				season.Add(time.Duration(r.IntN(365*24))*time.Hour).Format(time.DateTime), 14+r.IntN(6))
		}},
		{"sporting_event_ticket", s.size.tickets, func(b *strings.Builder, i int) {
			fmt.Fprintf(b, "%d,%d,'%c%d',%d,%d,%d,%d.%02d,0x%016x", i+1, 1+i*s.size.events/s.size.tickets, 'A'+rune(i/40%8), 1+i/320%9, 1+i/20%40, 1+i%20,
				1+r.IntN(s.size.people), 18+r.IntN(140), 5*r.IntN(20), r.Uint64())
		}},
		{"ticket_purchase_hist", s.size.purchases, func(b *strings.Builder, i int) {
			from := "NULL"
			if i >= s.size.tickets {
				from = fmt.Sprint(1 + r.IntN(s.size.people))
			}
			bought := season.Add(-time.Duration(s.size.purchases-i) * 90 * time.Second).Add(time.Duration(r.IntN(1e6)) * time.Microsecond)
			fmt.Fprintf(b, "%d,%d,'%s',%s,%d.%02d,%s", 1+i%s.size.tickets, 1+r.IntN(s.size.people), bought.Format("2006-01-02 15:04:05.000000"),
				from, 18+r.IntN(180), 5*r.IntN(20), note(r))
		}},
	}
}

// newPerson is the values of a person behind the id.
func newPerson(r *rand.Rand, i int) string {
	first, last := firstNames[r.IntN(len(firstNames))], lastNames[r.IntN(len(lastNames))]
	return fmt.Sprintf("'%s','%s','%s.%s.%d@example.com','%04d-%02d-%02d','%s',b'%d','{\"language\": \"%s\", \"seats\": [%d, %d]}'",
		first, last, strings.ToLower(plain(first)), strings.ToLower(plain(last)), i, 1940+r.IntN(65), 1+r.IntN(12), 1+r.IntN(28),
		time.Date(2015+r.IntN(10), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC).Format(time.DateTime),
		r.IntN(2), []string{"en", "de", "fr", "ja"}[r.IntN(4)], 1+r.IntN(20), 1+r.IntN(20))
}

func note(r *rand.Rand) string {
	if r.IntN(5) > 0 {
		return "NULL"
	}
	return []string{"'a gift'", "'for the kids ⚽'", "'season opener'", "'Überraschung'", "'paid with 100 %'"}[r.IntN(5)]
}

// plain is s without what an address can't hold.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 128 && r != ' ' {
			return r
		}
		return -1
	}, s)
}

var (
	cities     = []string{"Berlin", "Porto", "Lyon", "Kraków", "Bergen", "Gent", "Leeds", "Cork", "Turin", "Bilbao", "Malmö", "Tampere", "Basel", "Graz", "Brno", "Riga"}
	animals    = []string{"Otters", "Herons", "Lynxes", "Badgers", "Falcons", "Hornets", "Foxes", "Ravens", "Bisons", "Storks", "Geckos"}
	firstNames = []string{"Ada", "Björn", "Chloé", "Dmitri", "Emre", "Fatima", "Grace", "Hiro", "Inês", "Jonas", "Kateřina", "Liam", "Maja", "Noor", "Óscar", "Petra", "さくら", "Zoë"}
	lastNames  = []string{"Andersen", "Bakker", "Conti", "Dubois", "Eriksson", "Ferreira", "García", "Hofmann", "Ivanova", "Jensen", "Kowalski", "López", "Müller", "Novák", "Sato", "Weiß"}
)
