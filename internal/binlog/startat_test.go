package binlog

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

func TestParseStart(t *testing.T) {
	noon := time.Date(2018, 3, 8, 12, 12, 12, 0, time.UTC)
	for text, want := range map[string]Start{
		"":                                       {},
		"mysql-bin-changelog.000024:373":         {File: "mysql-bin-changelog.000024", Offset: 373},
		" binlog.1234567:0 ":                     {File: "binlog.1234567", Offset: 4},
		"binlog.000001:6442450944":               {File: "binlog.000001", Offset: 6442450944},
		uuidA + ":1-5":                           {GTIDSet: uuidA + ":1-5", Flavor: source.MySQL},
		uuidA + ":1-3:Blue:5,\n " + uuidB + ":7": {GTIDSet: uuidA + ":1-3:blue:5," + uuidB + ":7", Flavor: source.MySQL},
		"0-1-270,3-1-4":                          {GTIDSet: "0-1-270,3-1-4", Flavor: source.MariaDB},
		"2018-03-08T12:12:12":                    {Time: noon}, "2018-03-08 12:12:12": {Time: noon}, "2018-03-08T12:12:12Z": {Time: noon},
		"2018-03-08T13:12:12.000001+01:00": {Time: noon.Add(time.Microsecond)},
		"checkpoint:V1#27#mysql-bin-changelog.157832:1975:-1:2002:677883278264080:mysql-bin-changelog.157832:1876#0#0#*#0#93": {
			File: "mysql-bin-changelog.157832", Offset: 2002,
		},
		"checkpoint:V1#1#$.583860:1357:-1:1400:1:$.583860:1300#0#0#*#0#93": {File: "$.583860", Offset: 1400},
		"checkpoint:V1#27#mysql-bin.000003:1975:3:2002:12884904641:mysql-bin.000003:1876#0#0#*#0#93": {
			File: "mysql-bin.000003", Offset: 2002, Inside: &Inside{Transaction: 12884904641, EventStart: 1975, Row: 3},
		},
	} {
		got, err := ParseStart(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := ParseStart(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s is written as %s, which is %+v, %v", text, got, again, err)
		}
		if got.IsSet() != (text != "") {
			t.Errorf("%q: IsSet is %v", text, got.IsSet())
		}
	}
	for text, fault := range map[string]string{
		"yesterday": "is not a position", "binlog.000001:99999999999999999999": "is not a position", "binlog.12:4": "is not a position",
		"binlog.000001": "is not a position", uuidA: "no transaction numbers", uuidA + ":5-3": "not a range",
		"checkpoint:V1#27#mysql-bin.000003:1975": "RecoveryCheckpoint", "checkpoint:V1#27#mysql-bin.000003#0#": "RecoveryCheckpoint",
		"checkpoint:V1#27#mysql-bin.000003:x:3:2002:1:f:1#0#": "RecoveryCheckpoint", "checkpoint:V1#27#mysql-bin.000003:1:3:2002#0#": "RecoveryCheckpoint",
	} {
		if got, err := ParseStart(text); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %+v, %v; want an error with %q", text, got, err, fault)
		}
	}
}

func FuzzParseStart(f *testing.F) {
	f.Add("mysql-bin-changelog.000024:373")
	f.Add("checkpoint:V1#27#mysql-bin-changelog.157832:1975:3:2002:677883278264080:mysql-bin-changelog.157832:1876#0#0#*#0#93")
	f.Add(uuidA + ":1-5")
	f.Add("0-1-2")
	f.Add("2018-03-08T12:12:12")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStart(text)
		if err != nil {
			return
		}
		if s.IsSet() != (strings.TrimSpace(text) != "") {
			t.Errorf("%q was accepted as %+v", text, s)
		}
		if again, err := ParseStart(s.String()); err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%q is written as %q, which is %+v, %v", text, s, again, err)
		}
	})
}
