package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Settings is what of a DMS task settings document has an effect here.
type Settings struct {
	MaxFullLoadSubTasks int      // FullLoadSettings.MaxFullLoadSubTasks: tables that are loaded at a time
	TableErrorPolicy    string   // ErrorBehavior.TableErrorPolicy: SUSPEND_TABLE or STOP_TASK
	LOBMaxSize          int      // TargetMetadata.LobMaxSize, in KiB; 0: not set
	NoEffect            []string // sections and keys of the document that have none
}

// defaultSettings is DMS's own: 8 tables at a time, with chunks of 1 MiB, two a table, that is 16 MiB of memory; and a
// table that cannot be read does not stop the others.
func defaultSettings() Settings {
	return Settings{MaxFullLoadSubTasks: 8, TableErrorPolicy: suspendTable}
}

// The values of TableErrorPolicy.
const (
	suspendTable = "SUSPEND_TABLE"
	stopTask     = "STOP_TASK"
)

// maxSubTasks is DMS's own ceiling for MaxFullLoadSubTasks.
const maxSubTasks = 49

func (c *checker) taskSettings() {
	const path = "replication.task_settings"
	if c.Replication.TaskSettings == "" {
		return
	}
	text, err := c.read(c.Replication.TaskSettings)
	if err != nil {
		c.reason(path, err)
		return
	}
	settings, problems := parseSettings(text)
	for _, p := range problems {
		c.reason(path, p)
	}
	c.Replication.Settings = settings
}

// parseSettings reads a task settings document. Sections that have no effect are named rather than refused, since
// exported documents hold all of DMS's; what is set to null there counts as absent.
func parseSettings(text []byte) (Settings, []error) {
	s := defaultSettings()
	sections, err := object(text)
	if err != nil {
		return s, []error{fmt.Errorf("is not a task settings document, %w: export it with aws dms describe-replication-tasks", err)}
	}
	var problems []error
	for name, section := range sections {
		switch {
		case isNull(section):
		case name == "FullLoadSettings":
			problems = append(problems, s.section(name, section, map[string]setting{"MaxFullLoadSubTasks": s.subTasks})...)
		case name == "ErrorBehavior":
			problems = append(problems, s.section(name, section, map[string]setting{"TableErrorPolicy": s.tableErrors})...)
		case name == "TargetMetadata":
			problems = append(problems, s.section(name, section, map[string]setting{"LobMaxSize": s.lobs})...)
		default:
			s.NoEffect = append(s.NoEffect, name)
		}
	}
	slices.Sort(s.NoEffect)
	return s, problems
}

// setting reads the value of one key, and says what to write where it cannot.
type setting func(value json.RawMessage) (cure string, ok bool)

// section reads the keys of one section that have an effect, and names the others.
func (s *Settings) section(section string, text json.RawMessage, known map[string]setting) (problems []error) {
	keys, err := object(text)
	if err != nil {
		return []error{fmt.Errorf("has %s that are no object, %w: write {\"%s\": {}}", section, err, section)}
	}
	for name, value := range keys {
		read := known[name]
		switch {
		case isNull(value):
		case read == nil:
			s.NoEffect = append(s.NoEffect, section+"."+name)
		default:
			if cure, ok := read(value); !ok {
				problems = append(problems, fmt.Errorf("has %s.%s %.40s: %s", section, name, value, cure))
			}
		}
	}
	return problems
}

func (s *Settings) subTasks(value json.RawMessage) (string, bool) {
	var n int
	if err := json.Unmarshal(value, &n); err != nil || n < 1 || n > maxSubTasks {
		return fmt.Sprintf("write a number from 1 to %d", maxSubTasks), false
	}
	s.MaxFullLoadSubTasks = n
	return "", true
}

func (s *Settings) tableErrors(value json.RawMessage) (string, bool) {
	var p string
	if err := json.Unmarshal(value, &p); err != nil || p != suspendTable && p != stopTask {
		return "write SUSPEND_TABLE or STOP_TASK", false
	}
	s.TableErrorPolicy = p
	return "", true
}

// lobs reads LobMaxSize. 0 stands in exported documents where LOBs are not limited, and sets nothing.
func (s *Settings) lobs(value json.RawMessage) (string, bool) {
	var n int
	if err := json.Unmarshal(value, &n); err != nil || n < 0 || n > maxLOB {
		return fmt.Sprintf("write a number of KiB from 1 to %d, or 0", maxLOB), false
	}
	s.LOBMaxSize = min(n, 10240)
	return "", true
}

// maxLOB is DMS's own ceiling for LobMaxSize, in KiB. A record has at most 10 MiB.
const maxLOB = 102400

func object(text []byte) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(text, &m); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("JSON goes wrong at line %d", 1+bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n")))
		}
		return nil, errors.New("it holds something else than an object")
	}
	return m, nil
}

func isNull(v json.RawMessage) bool { return string(v) == "null" }
