package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Change is a key whose value is another one in another reading of the file.
type Change struct {
	Path    string // the key, from the root
	Was, Is string // what the file says; never a secret, nor what a variable held
}

// String is the change on one line.
func (c Change) String() string {
	if c.Was == c.Is {
		return c.Path + ": changed, and reads " + c.Is + " as before"
	}
	return c.Path + ": was " + c.Was + ", is " + c.Is
}

// Changes lists the keys whose values are others in a later reading of the same file, in the order of their names. What the
// halves have no use for is left out, and so is what only follows from other keys.
func (p *Pipeline) Changes(later *Pipeline) []Change {
	d := differ{was: p, is: later}
	d.compare("", reflect.ValueOf(p).Elem(), reflect.ValueOf(later).Elem())
	slices.SortFunc(d.found, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return d.found
}

type differ struct {
	was, is *Pipeline
	found   []Change
}

// compare walks along the keys of both.
func (d *differ) compare(path string, was, is reflect.Value) {
	if !isGroup(was) {
		d.value(path, was, is)
		return
	}
	for field, v := range was.Fields() {
		if key, ok := field.Tag.Lookup("yaml"); ok {
			d.compare(strings.TrimPrefix(path+"."+key, "."), v, is.FieldByIndex(field.Index))
		}
	}
}

// isGroup says whether a field holds keys of its own, rather than a value.
func isGroup(v reflect.Value) bool {
	if v.Kind() != reflect.Struct {
		return false
	}
	switch v.Addr().Interface().(type) {
	case encoding.TextUnmarshaler, *document:
		return false
	}
	return true
}

func (d *differ) value(path string, was, is reflect.Value) {
	_, before := d.was.at[path]
	_, now := d.is.at[path]
	if !before && !now || !d.matters(path) || d.same(path, was, is) {
		return
	}
	d.found = append(d.found, Change{Path: path, Was: d.was.written(path), Is: d.is.written(path)})
}

// matters says whether the halves use the key. What replicate does depends on how things are delivered, not the reverse.
func (d *differ) matters(path string) bool {
	return d.was.Halves.needs(path) || strings.HasPrefix(path, "delivery.")
}

func (d *differ) same(path string, was, is reflect.Value) bool {
	switch path {
	case "replication.table_mappings":
		return d.was.Replication.mappings == d.is.Replication.mappings
	case "replication.task_settings":
		return d.was.Replication.TaskSettings == d.is.Replication.TaskSettings && reflect.DeepEqual(d.was.Replication.Settings, d.is.Replication.Settings)
	}
	switch a := was.Interface().(type) {
	case Secret:
		b, _ := is.Interface().(Secret)
		return a.IsSet() == b.IsSet() && a.Reveal() == b.Reveal()
	case TimeZone:
		return a.String() == fmt.Sprint(is.Interface())
	}
	return reflect.DeepEqual(was.Interface(), is.Interface())
}

// written is what the file says of a key, as a fault would show it.
func (p *Pipeline) written(path string) string {
	at, ok := p.at[path]
	switch {
	case !ok:
		return "not set"
	case at.text == "":
		return "a group of values"
	}
	return at.text
}
