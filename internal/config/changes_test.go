package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const reloadable = `
name: tickets
source: {host: 127.0.0.1, user: repl, password: hunter2, tls: disabled}
replication:
  table_mappings: rules.json
  task_settings: settings.json
stream: {name: tickets, endpoint: embedded}
delivery: {destination: "s3://bucket", region: eu-west-1, custom_time_zone: Europe/Berlin, buffering_hints: {interval_in_seconds: 60}, object_tags: {team: data}}
checkpoint: {store: "file:///s"}
log:
  level: info
`

const oneRule = `{"rules": [{"rule-type": "selection", "rule-id": "1", "rule-name": "a", "rule-action": "include", "object-locator": {"schema-name": "a", "table-name": "%"}}]}`

func TestChanges(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pipeline.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(t *testing.T, halves Half) *Pipeline {
		t.Helper()
		p, err := Load(file, func(name string) (string, bool) { return "INFO", name == "LEVEL" }, halves)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		name     string
		halves   Half
		old, new string // what becomes of the file
		rules    string
		settings string
		want     []string
	}{
		{name: "nothing", halves: Both, old: "name:", new: "# a remark\nname:"},
		{name: "another spelling of the same", halves: Both, old: "level: info", new: "level: ${LEVEL}"},
		{name: "two keys", halves: Both, old: "interval_in_seconds: 60}", new: "interval_in_seconds: 90, size_in_mbs: 9}",
			want: []string{`delivery.buffering_hints.interval_in_seconds: was "60", is "90"`, `delivery.buffering_hints.size_in_mbs: was not set, is "9"`}},
		{name: "a password", halves: Both, old: "hunter2", new: "hunter3", want: []string{"source.password: changed, and reads (hidden) as before"}},
		{name: "another way to log in", halves: Both, old: "password: hunter2", new: "password_file: /p",
			want: []string{"source.password: was (hidden), is not set", `source.password_file: was not set, is "/p"`}},
		{name: "of the other half", halves: Deliver, old: "hunter2", new: "hunter3"},
		{name: "how it is delivered, for replicate", halves: Replicate, old: "custom_time_zone: Europe/Berlin", new: "custom_time_zone: UTC",
			want: []string{`delivery.custom_time_zone: was "Europe/Berlin", is "UTC"`}},
		{name: "the name, from which more follows", halves: Both, old: "name: tickets\nsource", new: "name: shop\nsource", want: []string{`name: was "tickets", is "shop"`}},
		{name: "tags", halves: Both, old: "team: data", new: "team: web", want: []string{"delivery.object_tags: changed, and reads a group of values as before"}},
		{name: "a document's content", halves: Both, rules: strings.ReplaceAll(oneRule, `"%"`, `"b%"`),
			want: []string{`replication.table_mappings: changed, and reads "rules.json" as before`}},
		{name: "the other document's content", halves: Both, settings: `{"FullLoadSettings": {"MaxFullLoadSubTasks": 3}}`,
			want: []string{`replication.task_settings: changed, and reads "settings.json" as before`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			write("pipeline.yaml", reloadable)
			write("rules.json", oneRule)
			write("settings.json", "{}")
			before := read(t, c.halves)
			write("pipeline.yaml", strings.Replace(reloadable, c.old, c.new, 1))
			if c.rules != "" {
				write("rules.json", c.rules)
			}
			if c.settings != "" {
				write("settings.json", c.settings)
			}
			var got []string
			for _, change := range before.Changes(read(t, c.halves)) {
				got = append(got, change.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
