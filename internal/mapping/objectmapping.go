package mapping

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// maxKey is the length of the longest partition key that Kinesis takes.
const maxKey = 256

const notInMapping = "is not supported yet: of object-mapping rules only those that set a partition key are; remove it"

// objectMapping reads a rule that says which partition key a table's records get. Whatever else such rules can do
// changes the records, so it is refused.
func (p *parser) objectMapping(r object) {
	switch action := p.word(r, "rule-action", "map-record-to-record"); action {
	case "", "map-record-to-record":
	case "map-record-to-document":
		p.add("rule-action", action, "is not supported yet; use map-record-to-record")
	default:
		p.add("rule-action", action, "is no action of object-mapping rules; use map-record-to-record")
	}
	p.onlyKeys(r, "", notInMapping, "rule-type", "rule-id", "rule-name", "rule-action", "object-locator",
		"target-table-name", "mapping-parameters", "partition-key", "filters")
	p.noFilters(r)
	loc := p.locator(r)
	if loc == nil {
		return
	}
	where := p.names(loc, false)
	p.sameTarget(r, loc)
	if key := p.partitionKey(r); key.Type != 0 {
		p.rules.keys = append(p.rules.keys, keyRule{where, key})
	}
}

// sameTarget refuses a target-table-name that would rename the table.
func (p *parser) sameTarget(r, loc object) {
	raw, ok := r["target-table-name"]
	if !ok || string(raw) == "null" {
		return
	}
	target, _ := plainString(raw)
	if name, _ := plainString(loc["table-name"]); target != name {
		p.add("target-table-name", text(raw), "records carry the table's own name; remove it")
	}
}

func (p *parser) partitionKey(r object) PartitionKey {
	raw, ok := r["mapping-parameters"]
	if !ok || string(raw) == "null" {
		return PartitionKey{}
	}
	var params object
	if err := json.Unmarshal(raw, &params); err != nil {
		p.add("mapping-parameters", text(raw), "must be an object")
		return PartitionKey{}
	}
	const prefix = "mapping-parameters."
	p.onlyKeys(params, prefix, notInMapping, "partition-key-type", "partition-key-name", "partition-key", "attribute-mappings", "exclude-columns")
	p.emptyList(params, "attribute-mappings")
	p.emptyList(params, "exclude-columns")
	const kinds = "primary-key, schema-table, transaction-id, constant or attribute-name"
	if raw, ok := params["partition-key-type"]; !ok || string(raw) == "null" {
		if len(params) > 0 || r["partition-key"] != nil {
			p.add(prefix+"partition-key-type", "", "is missing; write %s", kinds)
		}
		return PartitionKey{}
	}
	name := p.wordAs(params, "partition-key-type", prefix+"partition-key-type", kinds)
	if name == "" {
		return PartitionKey{}
	}
	kind, err := record.ParseKeyType(name)
	if err != nil {
		p.add(prefix+"partition-key-type", name, "there is no such type; use %s", kinds)
		return PartitionKey{}
	}
	key := PartitionKey{Type: kind}
	switch kind {
	case record.KeyConstant:
		key.Constant = p.constant(r, params)
	case record.KeyAttributeName:
		key.Name = p.wordAs(params, "partition-key-name", prefix+"partition-key-name", "the name of the column whose value is the key")
		if strings.Contains(key.Name, "${") {
			p.add(prefix+"partition-key-name", key.Name, "must be a column's name; expressions are not supported yet")
		}
	}
	return key
}

// constant reads {"partition-key": {"value": …}}, which stands in mapping-parameters or in the rule itself.
func (p *parser) constant(r, params object) string {
	raw, key := params["partition-key"], "mapping-parameters.partition-key"
	if raw == nil {
		raw = r["partition-key"]
	}
	var holder object
	if raw == nil || json.Unmarshal(raw, &holder) != nil {
		p.add(key, text(raw), `must be {"value": "the constant"} where partition-key-type is constant`)
		return ""
	}
	value := p.wordAs(holder, "value", key+".value", "the constant")
	switch {
	case utf8.RuneCountInString(value) > maxKey:
		p.add(key+".value", value, "is longer than the %d characters of a Kinesis partition key", maxKey)
	case strings.Contains(value, "${"):
		p.add(key+".value", value, "must be a constant; expressions are not supported yet")
	}
	return value
}

// emptyList refuses a list that has something in it.
func (p *parser) emptyList(params object, key string) {
	raw, ok := params[key]
	if !ok {
		return
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) > 0 {
		p.add("mapping-parameters."+key, text(raw), notInMapping)
	}
}
