package binlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// handledTypes are the events that do something. Without a body most of them are refused as damaged, which shows that they
// have been looked at.
var handledTypes = map[replication.EventType]error{
	replication.TABLE_MAP_EVENT:                         ErrCorrupt,
	replication.WRITE_ROWS_EVENTv1:                      ErrCorrupt,
	replication.UPDATE_ROWS_EVENTv1:                     ErrCorrupt,
	replication.DELETE_ROWS_EVENTv1:                     ErrCorrupt,
	replication.WRITE_ROWS_EVENTv2:                      ErrCorrupt,
	replication.UPDATE_ROWS_EVENTv2:                     ErrCorrupt,
	replication.DELETE_ROWS_EVENTv2:                     ErrCorrupt,
	replication.PARTIAL_UPDATE_ROWS_EVENT:               ErrCorrupt,
	replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1:  ErrCorrupt,
	replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1: ErrCorrupt,
	replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1: ErrCorrupt,
	replication.GTID_EVENT:                              ErrCorrupt,
	replication.ANONYMOUS_GTID_EVENT:                    ErrCorrupt,
	replication.GTID_TAGGED_LOG_EVENT:                   ErrCorrupt,
	replication.MARIADB_GTID_EVENT:                      ErrCorrupt,
	replication.QUERY_EVENT:                             ErrCorrupt,
	replication.MARIADB_QUERY_COMPRESSED_EVENT:          ErrCorrupt,
	replication.EXECUTE_LOAD_QUERY_EVENT:                ErrCorrupt,
	replication.XA_PREPARE_LOG_EVENT:                    ErrCorrupt,
	replication.TRANSACTION_PAYLOAD_EVENT:               ErrCorrupt,
	replication.FORMAT_DESCRIPTION_EVENT:                ErrCorrupt,
	replication.ROTATE_EVENT:                            ErrCorrupt,
	replication.HEARTBEAT_LOG_EVENT_V2:                  nil, // of no file
	replication.HEARTBEAT_EVENT:                         nil,
	replication.INCIDENT_EVENT:                          ErrIncident,
	replication.XID_EVENT:                               nil, // needs no body: it commits
}

// Every type of event that there is or may ever be is handled, passed over for a reason, or refused by name, and eventsCounted.
func TestEveryType(t *testing.T) {
	handled, passed, refused := 0, 0, 0
	for k := range 256 {
		kind := replication.EventType(k)
		for _, flags := range []uint16{0, replication.LOG_EVENT_IGNORABLE_F} {
			rec := newRecorder(t)
			s := offline(t, rec, source.Position{File: "b.000001", Offset: 4})
			registry := prometheus.NewRegistry()
			s.r.metrics = newMetrics(registry)
			s.h = rec
			sc := new(script).start("b.000001", 4).gtid(1).query("BEGIN").table(1, "t").insert(1, 1)
			if err := play(s, sc.events); err != nil {
				t.Fatal(err)
			}
			before, lines := eventsCounted(t, registry, kind), len(rec.lines)
			sc = &script{at: sc.at}
			err := play(s, sc.add(kind, flags).events)

			if n := eventsCounted(t, registry, kind) - before; n != 1 {
				t.Errorf("%s was eventsCounted %v times", eventName(kind), n)
			}
			want, known := handledTypes[kind]
			reason := passedOver[k]
			switch {
			case known && reason != "":
				t.Errorf("%s is handled and passed over", eventName(kind))
			case known:
				handled++
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", eventName(kind), err, want)
				}
				if committed := slices.Contains(rec.lines[lines:], "commit"); committed != (kind == replication.XID_EVENT) {
					t.Errorf("%s: %q", eventName(kind), rec.lines[lines:])
				}
			case reason != "":
				passed++
				if err != nil || len(rec.lines) != lines {
					t.Errorf("%s is to be passed over (%s): %v, %q", eventName(kind), reason, err, rec.lines[lines:])
				}
			case flags != 0:
				if err != nil {
					t.Errorf("%s, which says that it may be ignored: %v", eventName(kind), err)
				}
			default:
				refused++
				ev, ok := errors.AsType[*EventError](err)
				if !ok || !errors.Is(err, ErrUnknownEvent) || !final(err, true) || ev.Offset == 0 ||
					!strings.Contains(err.Error(), fmt.Sprintf("type %d", k)) || !strings.Contains(err.Error(), ev.Hint) {
					t.Errorf("%s: %v", eventName(kind), err)
				}
			}
		}
	}
	t.Logf("%d types are handled, %d passed over, %d refused", handled/2, passed/2, refused)
}

// Within a compressed transaction the same holds.
func TestEveryTypeInPayload(t *testing.T) {
	for k := range 256 {
		kind := replication.EventType(k)
		rec := newRecorder(t)
		s := offline(t, rec, source.Position{File: "b.000001", Offset: 4})
		registry := prometheus.NewRegistry()
		s.r.metrics = newMetrics(registry)
		sc := new(script).start("b.000001", 4).gtid(1).payload(func(p *script) { p.query("BEGIN").add(kind, 0) })
		err := play(s, sc.events)
		want, known := handledTypes[kind]
		if !known && passedOver[k] == "" {
			want = ErrUnknownEvent
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", eventName(kind), err, want)
		}
		if n := eventsCounted(t, registry, kind); n == 0 {
			t.Errorf("%s was not eventsCounted", eventName(kind))
		}
	}
}

// eventsCounted is how often the metric says that a type came.
func eventsCounted(t *testing.T, registry *prometheus.Registry, kind replication.EventType) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "binlogstreamer_binlog_events_total" && m.GetLabel()[0].GetValue() == eventName(kind) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
