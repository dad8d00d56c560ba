package config

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/binlogstreamer/binlogstreamer/internal/mapping"
)

// replication reads the DMS documents and checks that start and end fit the migration type.
func (c *checker) replication() {
	r := &c.Replication
	c.mappings()
	c.taskSettings()
	if r.CDCStart.IsSet() && r.MigrationType != CDC {
		c.fault("replication.cdc_start_position", "contradicts migration_type: "+string(r.MigrationType), "write migration_type: cdc, or remove the position: a load decides itself where its changes begin")
	}
	if r.CDCStop.IsSet() && r.MigrationType == FullLoad {
		c.fault("replication.cdc_stop_position", "contradicts migration_type: full-load, which ends by itself", "remove it, or choose another migration_type")
	}
}

// mappings reads the table-mapping document, from its file or from the YAML itself.
func (c *checker) mappings() {
	const path = "replication.table_mappings"
	n := c.Replication.TableMappings.node
	if n == nil || n.Tag == "!!null" || n.Kind == yaml.ScalarNode && n.Value == "" {
		c.missing(path, "name a DMS table-mapping document, or write its rules inline")
		return
	}
	text, err := c.mappingText(n)
	switch {
	case errors.Is(err, errNoted):
		return
	case err != nil:
		c.reason(path, err)
		return
	}
	rules, err := mapping.Parse(text)
	if err == nil {
		c.Replication.Rules, c.Replication.mappings = rules, string(text)
		return
	}
	document, ok := errors.AsType[*mapping.Error](err)
	if !ok {
		c.reason(path, err)
		return
	}
	for _, f := range document.Faults {
		c.fault(path, strings.TrimSpace(strings.Join([]string{f.Rule, f.Key, f.Value}, " "))+": "+f.Cure, "")
	}
}

// errNoted says that a fault is in the list already.
var errNoted = errors.New("noted")

func (c *checker) mappingText(n *yaml.Node) ([]byte, error) {
	if n.Kind != yaml.ScalarNode {
		return inlineJSON(n)
	}
	text, ok := c.text("replication.table_mappings", n)
	if !ok {
		return nil, errNoted
	}
	return c.read(text)
}
