package config

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// document is a value that is read later: the path of a file, or the file's content inline.
type document struct{ node *yaml.Node }

// decoder walks the tree of a YAML file along the fields of a struct. It goes on after a fault, so that all of them
// are found, and remembers where every key stands, so that later checks can name the line.
type decoder struct {
	faults *Faults
	env    Lookup
	needed func(path string) bool // does a variable missing at path matter?
	at     map[string]place
	unread map[string]bool // keys whose values have the wrong type or spelling
}

// place is where a key stands and what may be shown of its value.
type place struct {
	line int
	text string
}

func (d *decoder) fault(path, problem, cure string) {
	p := d.at[path]
	d.faults.add(Fault{Path: path, Line: p.line, Value: p.text, Problem: problem, Cure: cure})
}

// reason adds a fault whose problem and cure are the two sides of err's first colon.
func (d *decoder) reason(path string, err error) {
	problem, cure, _ := strings.Cut(err.Error(), ": ")
	d.fault(path, problem, cure)
}

// has says whether the file holds the key.
func (d *decoder) has(path string) bool {
	_, ok := d.at[path]
	return ok
}

// value reads n into v. A null leaves the default in place.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.at[path] = place{n.Line, show(n, v)}
	if doc, ok := v.Addr().Interface().(*document); ok {
		doc.node = n
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if v.Kind() == reflect.Map {
		d.texts(path, n, v)
		return
	}
	if t, isText := v.Addr().Interface().(encoding.TextUnmarshaler); v.Kind() == reflect.Struct && !isText {
		d.object(path, n, v)
		return
	} else if n.Kind != yaml.ScalarNode {
		d.fault(path, "is "+kindName(n)+" where a single value belongs", "write "+wanted(v)+" behind the colon")
		return
	} else if text, ok := d.text(path, n); ok {
		d.scalar(path, n, v, t, text)
	}
}

// object reads a mapping's keys into the fields of the same name.
func (d *decoder) object(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.fault(path, "is "+kindName(n)+" where keys belong", "indent "+strings.Join(keysOf(v), ", ")+" below it")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		child := strings.TrimPrefix(path+"."+key.Value, ".")
		if line, twice := seen[key.Value]; twice {
			d.faults.add(Fault{Path: child, Line: key.Line, Problem: fmt.Sprintf("is given twice, first on line %d", line), Cure: "keep one of them"})
			continue
		}
		seen[key.Value] = key.Line
		field, known := fieldOf(v, key.Value)
		if !known || key.Kind != yaml.ScalarNode {
			d.unknown(child, key, value, v)
			continue
		}
		d.value(child, value, field)
	}
}

// texts reads a mapping whose keys are free and whose values are text.
func (d *decoder) texts(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.fault(path, "is "+kindName(n)+" where names and values belong", "write name: value below it, or {name: value}")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		child := path + "." + key.Value
		if v.MapIndex(reflect.ValueOf(key.Value)).IsValid() {
			d.faults.add(Fault{Path: child, Line: key.Line, Problem: "is given twice", Cure: "keep one of them"})
			continue
		}
		text := reflect.New(v.Type().Elem()).Elem()
		d.value(child, value, text)
		v.SetMapIndex(reflect.ValueOf(key.Value), text)
	}
}

func (d *decoder) unknown(path string, key, value *yaml.Node, v reflect.Value) {
	if key.Kind != yaml.ScalarNode || key.Value == "<<" {
		d.faults.add(Fault{Path: path, Line: key.Line, Problem: "is not a plain key", Cure: "write name: value; merges and compound keys are not read"})
		return
	}
	known := keysOf(v)
	near := closest(strings.ToLower(key.Value), known)
	cure := "remove it; known here: " + strings.Join(known, ", ")
	if near != "" {
		cure = "did you mean " + near + "?"
	}
	text := ""
	if value.Kind == yaml.ScalarNode && !soundsSecret.MatchString(key.Value+" "+near) {
		text = strconv.Quote(value.Value)
	}
	d.faults.add(Fault{Path: path, Line: key.Line, Value: text, Problem: "is not a known key", Cure: cure})
}

// soundsSecret keeps the value of a mistyped secret key out of the fault.
var soundsSecret = regexp.MustCompile(`(?i)pass|pwd|secret|token|credential|access|private|key\b`)

// text is a scalar's text with its variables replaced.
func (d *decoder) text(path string, n *yaml.Node) (string, bool) {
	text, missing, err := expand(n.Value, d.env)
	if err != nil {
		d.reason(path, err)
		return "", false
	}
	if len(missing) == 0 {
		return text, true
	}
	if d.needed(path) {
		for _, name := range missing {
			d.fault(path, "needs the environment variable "+name+", which is not set", "export "+name+"=… before the start, or write $${ for a literal ${")
		}
	}
	return "", false
}

// scalar reads text into v. A value that came out of a variable has whatever type its place asks for.
func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value, t encoding.TextUnmarshaler, text string) {
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	expanded := text != n.Value
	if c, ok := v.Interface().(choice); ok {
		d.choice(path, v, c, text)
		return
	}
	var err error
	switch {
	case t != nil:
		err = t.UnmarshalText([]byte(text))
	case v.Type() == reflect.TypeFor[time.Duration]():
		err = setDuration(v, text)
	case quoted && !expanded && v.Kind() != reflect.String:
		err = fmt.Errorf("is text: write %s without quotes", wanted(v))
	case v.Kind() == reflect.Bool:
		err = setBool(v, text)
	case v.CanInt():
		err = setInt(v, text)
	case v.CanUint():
		err = setUint(v, text)
	case n.Tag == "!!bool" && !expanded:
		err = fmt.Errorf("is a truth value where text belongs: put it in quotes if it is meant")
	default:
		v.SetString(text)
	}
	if err != nil {
		d.reason(path, err)
		d.unread[path] = true
	}
}

func (d *decoder) choice(path string, v reflect.Value, c choice, text string) {
	word, known := c.canonical(text), c.choices()
	if slices.Contains(known, word) {
		v.SetString(word)
		return
	}
	cure := "use one of " + strings.Join(known, " | ")
	if near := closest(strings.ToLower(word), lowered(known)); near != "" {
		i := slices.Index(lowered(known), near)
		cure = "did you mean " + known[i] + "? (" + strings.Join(known, " | ") + ")"
	}
	d.fault(path, "is not a value of this key", cure)
	d.unread[path] = true
}

func lowered(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToLower(w)
	}
	return out
}

func setBool(v reflect.Value, text string) error {
	switch text {
	case "true", "True", "TRUE":
		v.SetBool(true)
	case "false", "False", "FALSE":
		v.SetBool(false)
	default:
		return fmt.Errorf("is neither true nor false: write true or false, without quotes")
	}
	return nil
}

func setInt(v reflect.Value, text string) error {
	n, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err != nil {
		return fmt.Errorf("is not a whole number: write digits only, without unit or quotes")
	}
	v.SetInt(n)
	return nil
}

func setUint(v reflect.Value, text string) error {
	n, err := strconv.ParseUint(text, 10, v.Type().Bits())
	if err != nil {
		return fmt.Errorf("is not a whole number from 0 to %d: write digits only, without quotes", uint64(1)<<v.Type().Bits()-1)
	}
	v.SetUint(n)
	return nil
}

func setDuration(v reflect.Value, text string) error {
	t, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("is not a duration: write a number and a unit, such as 25s or 2m")
	}
	v.SetInt(int64(t))
	return nil
}

// fieldOf is the field of struct v that a key is read into.
func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for f, field := range v.Fields() {
		if name, ok := f.Tag.Lookup("yaml"); ok && name == key {
			return field, true
		}
	}
	return reflect.Value{}, false
}

func keysOf(v reflect.Value) (keys []string) {
	for f := range v.Fields() {
		if name, ok := f.Tag.Lookup("yaml"); ok {
			keys = append(keys, name)
		}
	}
	return keys
}

// show is what a fault may quote of a value: what stands in the file, never what a variable held.
func show(n *yaml.Node, v reflect.Value) string {
	_, secret := v.Interface().(Secret)
	_, doc := v.Interface().(document)
	switch {
	case n.Kind != yaml.ScalarNode:
		return ""
	case secret, strings.Contains(n.Value, "://") && strings.Contains(n.Value, "@"):
		return hidden
	case doc && strings.Contains(n.Value, "\n"):
		return ""
	}
	return strconv.Quote(n.Value)
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a group of keys"
	case yaml.ScalarNode:
		return "a single value"
	}
	return "something else"
}

func wanted(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Bool:
		return "true or false"
	case v.Type() == reflect.TypeFor[time.Duration]():
		return "a duration"
	case v.CanInt(), v.CanUint():
		return "a number"
	}
	return "text"
}
