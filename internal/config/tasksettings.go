package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Settings is what of a DMS task settings document has an effect here.
type Settings struct {
	MaxFullLoadSubTasks int      // FullLoadSettings.MaxFullLoadSubTasks: tables that are loaded at a time
	NoEffect            []string // sections and keys of the document that have none
}

// defaultSettings is DMS's own: 8 tables at a time. With chunks of 1 MiB, two a table, that is 16 MiB of memory.
func defaultSettings() Settings { return Settings{MaxFullLoadSubTasks: 8} }

// maxSubTasks is DMS's own ceiling for MaxFullLoadSubTasks.
const maxSubTasks = 49

func (c *checker) taskSettings() {
	const path = "replication.task_settings"
	if c.Replication.TaskSettings == "" {
		return
	}
	file := c.path(c.Replication.TaskSettings)
	text, err := os.ReadFile(file)
	if err != nil {
		c.reason(path, fileError{file, err})
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
			problems = append(problems, s.fullLoad(section)...)
		default:
			s.NoEffect = append(s.NoEffect, name)
		}
	}
	slices.Sort(s.NoEffect)
	return s, problems
}

func (s *Settings) fullLoad(section json.RawMessage) (problems []error) {
	keys, err := object(section)
	if err != nil {
		return []error{fmt.Errorf("has FullLoadSettings that are no object, %w: write {\"MaxFullLoadSubTasks\": 8}", err)}
	}
	for name, value := range keys {
		switch {
		case isNull(value):
		case name != "MaxFullLoadSubTasks":
			s.NoEffect = append(s.NoEffect, "FullLoadSettings."+name)
		default:
			var n int
			if err := json.Unmarshal(value, &n); err != nil || n < 1 || n > maxSubTasks {
				problems = append(problems, fmt.Errorf("has FullLoadSettings.MaxFullLoadSubTasks %.40s: write a number from 1 to %d", value, maxSubTasks))
				continue
			}
			s.MaxFullLoadSubTasks = n
		}
	}
	return problems
}

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
