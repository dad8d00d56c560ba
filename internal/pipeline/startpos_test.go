package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

func TestParseStartPosition(t *testing.T) {
	const uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	for _, c := range []struct {
		text   string
		flavor source.Flavor
		want   source.Position
		fault  string // part of the error
	}{
		{"mysql-bin-changelog.000024:373", source.MySQL, source.Position{File: "mysql-bin-changelog.000024", Offset: 373}, ""},
		{"binlog.1234567:0", source.MySQL, source.Position{File: "binlog.1234567", Offset: 4}, ""},
		{uuid + ":1-5", source.MySQL, source.Position{GTIDSet: uuid + ":1-5"}, ""},
		{"0-1-270", source.MariaDB, source.Position{GTIDSet: "0-1-270"}, ""},
		{
			"checkpoint:V1#27#mysql-bin-changelog.157832:1975:-1:2002:677883278264080:mysql-bin-changelog.157832:1876#0#0#*#0#93",
			source.MySQL, source.Position{File: "mysql-bin-changelog.157832", Offset: 2002}, "",
		},
		{"checkpoint:V1#27#mysql-bin.000001:1975:3:2002:1:mysql-bin.000001:1876#0#0#*#0#93", source.MySQL, source.Position{}, "inside a transaction"},
		{"checkpoint:V1#1#$.583860:1357:-1:1400:1:$.583860:1300#0#0#*#0#93", source.MySQL, source.Position{}, "abbreviated"},
		{"yesterday", source.MySQL, source.Position{}, "neither file:offset"},
		{"binlog.000001:99999999999999999999", source.MySQL, source.Position{}, "offset"},
	} {
		got, err := ParseStartPosition(c.text, c.flavor)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: err = %v, want one about %q", c.text, err, c.fault)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
}

func TestParseStopPosition(t *testing.T) {
	want := time.Date(2018, 2, 9, 12, 12, 12, 0, time.UTC)
	for _, text := range []string{"server_time:2018-02-09T12:12:12", "commit_time: 2018-02-09T12:12:12 ", "commit_time:2018-02-09T12:12:12Z"} {
		if got, err := ParseStopPosition(text); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"2018-02-09T12:12:12", "server_time:soon", "time:2018-02-09T12:12:12"} {
		if _, err := ParseStopPosition(text); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
	if got, err := ParseStopPosition(""); err != nil || !got.IsZero() {
		t.Errorf("no stop position: %v, %v", got, err)
	}
}

func FuzzParseStartPosition(f *testing.F) {
	f.Add("mysql-bin-changelog.000024:373")
	f.Add("checkpoint:V1#27#mysql-bin-changelog.157832:1975:-1:2002:677883278264080:mysql-bin-changelog.157832:1876#0#0#*#0#93")
	f.Add("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5")
	f.Fuzz(func(t *testing.T, text string) {
		for _, flavor := range []source.Flavor{source.MySQL, source.MariaDB} {
			p, err := ParseStartPosition(text, flavor)
			if err == nil && p.File == "" && p.GTIDSet == "" && strings.TrimSpace(text) != "" {
				t.Errorf("%q was accepted and says nothing", text)
			}
		}
	})
}
