package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxLoadOrder is DMS's highest load-order.
const maxLoadOrder = 1<<31 - 1

// object is a JSON object whose values are read when their meaning is known. Keys that mean nothing to us may stand
// in it, as they may for DMS.
type object map[string]json.RawMessage

// Parse reads a table-mapping document. What is wrong with it is an *Error that lists every fault.
func Parse(doc []byte) (*Rules, error) {
	var f faults
	r := parseDocument(doc, &f)
	if len(f.all) > 0 {
		return nil, &Error{Faults: f.all}
	}
	return r, nil
}

func parseDocument(doc []byte, f *faults) *Rules {
	doc = bytes.TrimPrefix(doc, []byte("\uFEFF"))
	var top object
	if err := json.Unmarshal(doc, &top); err != nil {
		f.add("", "", "the document is not a JSON object: %s", explainJSON(doc, err))
		return nil
	}
	var list []json.RawMessage
	switch err := json.Unmarshal(top["rules"], &list); {
	case top["rules"] == nil:
		f.add("rules", "", `is missing; write {"rules": [{"rule-type": "selection", …}]}`)
		return nil
	case err != nil || list == nil:
		f.add("rules", text(top["rules"]), "must be an array of rules")
		return nil
	}
	p := parser{faults: f, rules: &Rules{}, seen: map[string]int{}}
	for i, raw := range list {
		p.rule(i+1, raw)
	}
	p.atLeastOne()
	return p.rules
}

// explainJSON says in which line and column a syntax error lies.
func explainJSON(doc []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err.Error()
	}
	before := doc[:min(int(syntax.Offset), len(doc))]
	line := 1 + bytes.Count(before, []byte{'\n'})
	column := len(before) - 1 - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d column %d: %s", line, max(column, 1), err)
}

// parser reads the rules of one document.
type parser struct {
	*faults
	rules    *Rules
	seen     map[string]int // rule-id → which rule of the document has it
	includes int
}

// atLeastOne refuses a document that selects nothing.
func (p *parser) atLeastOne() {
	p.faults.rule = ""
	if p.includes == 0 && len(p.all) == 0 {
		p.add("rules", "", "no selection rule includes a table; add one with rule-action include or explicit")
	}
}

// rule reads the nth rule of the document.
func (p *parser) rule(n int, raw json.RawMessage) {
	p.faults.rule = fmt.Sprintf("rule %d", n)
	var r object
	if err := json.Unmarshal(raw, &r); err != nil || r == nil {
		p.add("", text(raw), "must be an object")
		return
	}
	p.ruleID(n, r)
	switch kind := p.word(r, "rule-type", "selection or object-mapping"); kind {
	case "":
	case "selection":
		p.selection(r)
	case "object-mapping":
		p.objectMapping(r)
	case "transformation":
		p.add("rule-type", kind, "transformation rules are not supported yet: records carry schema, table and columns under their own names; remove the rule")
	case "table-settings":
		p.add("rule-type", kind, "table-settings rules are not supported: tables are read in parallel chunks without them, and no value is cut off; remove the rule")
	default:
		p.add("rule-type", kind, "there is no such rule-type; use selection or object-mapping")
	}
}

// ruleID reads the rule's id, a string or a number, by which later faults name it.
func (p *parser) ruleID(n int, r object) {
	raw, ok := r["rule-id"]
	if !ok || string(raw) == "null" {
		p.add("rule-id", "", "is missing; give every rule one of its own")
		return
	}
	id, ok := stringOrNumber(raw)
	if !ok || id == "" {
		p.add("rule-id", text(raw), "must be a number or a string")
		return
	}
	p.faults.rule = "rule-id " + id
	if first, used := p.seen[id]; used {
		p.add("rule-id", id, "is used twice, by rules %d and %d of the document; ids must be unique", first, n)
		return
	}
	p.seen[id] = n
}

func (p *parser) selection(r object) {
	var s selection
	action := p.word(r, "rule-action", "include, exclude or explicit")
	switch action {
	case "", "include", "explicit":
	case "exclude":
		s.exclude = true
	default:
		p.add("rule-action", action, "is no action of selection rules; use include, exclude or explicit")
	}
	loc := p.locator(r)
	if loc == nil {
		return
	}
	s.where = p.names(loc, action == "explicit")
	p.tableType(loc, &s)
	s.order = p.loadOrder(r)
	p.noFilters(r)
	if action == "include" || action == "explicit" {
		p.includes++
		if name, ok := plainString(loc["schema-name"]); ok && isSystem(name) {
			p.add("object-locator.schema-name", name, "is one of the server's own schemas, which are never replicated; remove the rule")
		}
	}
	p.rules.selections = append(p.rules.selections, s)
}

// locator is the rule's object-locator.
func (p *parser) locator(r object) object {
	raw, ok := r["object-locator"]
	if !ok || string(raw) == "null" {
		p.add("object-locator", "", `cannot be null; write {"schema-name": …, "table-name": …}`)
		return nil
	}
	var loc object
	if err := json.Unmarshal(raw, &loc); err != nil {
		p.add("object-locator", text(raw), "must be an object with schema-name and table-name")
		return nil
	}
	return loc
}

// names reads the names of an object-locator, which are patterns unless they must be exact.
func (p *parser) names(loc object, exact bool) locator {
	read := func(key string) pattern {
		name := p.wordAs(loc, key, "object-locator."+key, "a name")
		switch {
		case name == "":
			return pattern{}
		case exact && strings.ContainsAny(name, "%["):
			p.add("object-locator."+key, name, "explicit rules name one table, without wildcards; use include")
			return pattern{}
		case exact:
			return exactly(name)
		}
		pat, err := parsePattern(name)
		if err != nil {
			p.add("object-locator."+key, name, "is not a pattern: %v", err)
		}
		return pat
	}
	return locator{schema: read("schema-name"), table: read("table-name")}
}

func (p *parser) tableType(loc object, s *selection) {
	kind := "table"
	if raw, ok := loc["table-type"]; ok && string(raw) != "null" {
		kind = p.wordAs(loc, "table-type", "object-locator.table-type", "table, view or all")
	}
	switch kind {
	case "":
	case "table", "view", "all":
		s.tables, s.views = kind != "view", kind != "table"
	default:
		p.add("object-locator.table-type", kind, "use table, view or all")
	}
}

func (p *parser) loadOrder(r object) int {
	raw, ok := r["load-order"]
	if !ok || string(raw) == "null" {
		return 0
	}
	s, ok := stringOrNumber(raw)
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if !ok || err != nil || n < 1 || n > maxLoadOrder {
		p.add("load-order", text(raw), "must be a whole number from 1 to %d; a higher one loads first", maxLoadOrder)
		return 0
	}
	return n
}

// noFilters refuses row filters: leaving them out would send rows that the document keeps back.
func (p *parser) noFilters(r object) {
	raw, ok := r["filters"]
	if !ok || string(raw) == "null" {
		return
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		p.add("filters", text(raw), "must be an array, or be left out")
		return
	}
	if len(list) > 0 {
		p.add("filters", text(raw), "row filters are not supported yet; remove them to replicate whole tables, and filter where the records are read")
	}
}

// word is the value of a key that must be a string; expected says of what kind. It is "" after a fault.
func (p *parser) word(o object, key, expected string) string {
	return p.wordAs(o, key, key, expected)
}

// wordAs is word for a key that faults call by another name.
func (p *parser) wordAs(o object, key, name, expected string) string {
	raw, ok := o[key]
	if !ok || string(raw) == "null" {
		p.add(name, "", "is missing; write %s", expected)
		return ""
	}
	s, ok := plainString(raw)
	if !ok || s == "" {
		p.add(name, text(raw), "must be %s", expected)
		return ""
	}
	return s
}

// onlyKeys refuses every key of o that is not among known, and says why.
func (p *parser) onlyKeys(o object, prefix, why string, known ...string) {
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(known, key) && string(o[key]) != "null" {
			p.add(prefix+key, text(o[key]), "%s", why)
		}
	}
}

func plainString(raw json.RawMessage) (string, bool) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// stringOrNumber is the text of a value that may be written either way.
func stringOrNumber(raw json.RawMessage) (string, bool) {
	if s, ok := plainString(raw); ok {
		return s, true
	}
	var n json.Number
	if json.Unmarshal(raw, &n) != nil || n == "" {
		return "", false
	}
	return n.String(), true
}

// text is a value as faults show it, in one line.
func text(raw json.RawMessage) string {
	if s, ok := plainString(raw); ok {
		return strconv.Quote(s)
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}
