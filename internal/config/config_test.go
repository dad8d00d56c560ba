package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

func env(pairs ...string) Lookup {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

const minimal = `
name: tickets
source: {host: db.example.com, user: repl, password: "${PW}"}
replication:
  table_mappings:
    - {rule-type: selection, rule-id: 1, rule-name: one, rule-action: include, object-locator: {schema-name: shop, table-name: "%"}}
stream: {name: tickets, region: eu-west-1}
delivery: {destination: "s3://my-bucket"}
checkpoint: {store: "file:///var/lib/binlogstreamer/state"}
`

func TestExampleLoadsAsItStands(t *testing.T) {
	p, err := Load("../../deploy/examples/pipeline.yaml", env("MYSQL_PASSWORD", "s3cret: #x"), Both)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Source.Password.Reveal(); got != "s3cret: #x" {
		t.Errorf("password = %q; the variable's text must arrive as it is", got)
	}
	if !p.Replication.Rules.Selected("dms_sample", "ticket_purchase_hist") || p.Replication.Rules.Selected("dms_sample", "person") {
		t.Error("the table mappings beside the file were not read")
	}
	if p.Source.ServerID != 5701 || p.MemoryLimit != 256*MiB || p.Delivery.Destination.Bucket != "my-bucket" {
		t.Errorf("server_id %d, memory_limit %v, destination %v", p.Source.ServerID, p.MemoryLimit, p.Delivery.Destination)
	}
	want := record.DefaultOptions("tickets")
	want.BeforeImage = record.BeforeImage{FieldName: "before-image", ColumnFilter: record.FilterPKOnly}
	if diff := cmp.Diff(want, p.RecordOptions()); diff != "" {
		t.Errorf("record options (-want +got):\n%s", diff)
	}
}

func TestExampleShowsEveryDefault(t *testing.T) {
	text, err := os.ReadFile("../../deploy/examples/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	full, err := Load("../../deploy/examples/pipeline.yaml", env("MYSQL_PASSWORD", "x"), Both)
	if err != nil {
		t.Fatal(err)
	}
	// What the example writes out and what is left to the defaults must be the same, or the comments lie.
	least := defaults()
	for what, same := range map[string]bool{
		"stream flags":    full.Stream.IncludeTransactionDetails == least.Stream.IncludeTransactionDetails && full.Stream.IncludeGTID == least.Stream.IncludeGTID,
		"message_format":  full.Stream.MessageFormat == least.Stream.MessageFormat,
		"buffering_hints": full.Delivery.BufferingHints == least.Delivery.BufferingHints,
		"compression":     full.Delivery.Compression == least.Delivery.Compression,
		"memory_limit":    full.MemoryLimit == least.MemoryLimit,
		"shutdown_grace":  full.ShutdownGrace == least.ShutdownGrace,
		"listen":          full.HTTP.Listen == least.HTTP.Listen,
		"failover_time":   full.Checkpoint.FailoverTime == least.Checkpoint.FailoverTime,
	} {
		if !same {
			t.Errorf("%s: the example differs from the default", what)
		}
	}
	for _, key := range allKeys() {
		if !strings.Contains(string(text), key) {
			t.Errorf("the example does not mention %s", key)
		}
	}
}

func TestMinimalFileGetsDefaults(t *testing.T) {
	p, err := Parse("pipeline.yaml", []byte(minimal), env("PW", ""), Both)
	if err != nil {
		t.Fatal(err)
	}
	if p.Source.ServerID < 1_000_000_000 || p.Source.Port != 3306 || p.Delivery.BufferingHints.IntervalInSeconds != 300 {
		t.Errorf("source %+v, hints %+v", p.Source, p.Delivery.BufferingHints)
	}
	if p.Replication.Settings.MaxFullLoadSubTasks != 8 || p.ShutdownGrace != 25*time.Second {
		t.Errorf("settings %+v, grace %v", p.Replication.Settings, p.ShutdownGrace)
	}
}

func TestCheckpointStores(t *testing.T) {
	for text, want := range map[string]Store{
		"file:///var/lib/state":  {Dir: "/var/lib/state"},
		"dynamodb://tickets":     {Table: "tickets"},
		"s3://bucket":            {Bucket: "bucket"},
		"s3://bucket/":           {Bucket: "bucket"},
		"s3://bucket/of/tickets": {Bucket: "bucket", Prefix: "of/tickets"},
		"s3://bucket/of/täg/":    {Bucket: "bucket", Prefix: "of/täg"},
	} {
		p, err := Parse("pipeline.yaml", change(t, minimal, `checkpoint: {store: "`+text+`"}`), env("PW", "x"), Both)
		if err != nil {
			t.Error(err)
			continue
		}
		if p.Checkpoint.Store != want || p.Checkpoint.Store.String() != strings.TrimSuffix(text, "/") {
			t.Errorf("%s = %+v, written as %s", text, p.Checkpoint.Store, p.Checkpoint.Store)
		}
	}
}

func TestEveryFaultIsReportedAtOnce(t *testing.T) {
	text, err := os.ReadFile("testdata/faulty.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("faulty.yaml", text, env("BAD_PORT", "many"), Both)
	faults, ok := errors.AsType[*Faults](err)
	if !ok {
		t.Fatalf("err = %v, want *Faults", err)
	}
	golden(t, "testdata/faulty.golden", faults.Error()+"\n")
	for _, f := range faults.List {
		if strings.Contains(f.String(), "hunter2") {
			t.Errorf("a secret is printed: %s", f)
		}
	}
}

// TestFaults has one line for each kind of fault: what is written below a sound file, and the fault that must come
// of it, and no other.
func TestFaults(t *testing.T) {
	cases := []struct{ name, change, path, want string }{
		{"unknown key", "deliveri: x", "deliveri", "did you mean delivery?"},
		{"case", "stream: {messageFormat: json}", "stream.messageFormat", "did you mean message_format?"},
		{"mistyped secret hides its value", "source: {pasword: hunter2}", "source.pasword", "did you mean password?"},
		{"list for text", "name: [a]", "name", "is a list"},
		{"text for group", "stream: tickets", "stream", "keys belong"},
		{"quoted number", `source: {port: "3306"}`, "source.port", "without quotes"},
		{"number too large", "source: {server_id: 4294967296}", "source.server_id", "4294967295"},
		{"bool for text", "delivery: {prefix: true}", "delivery.prefix", "quotes"},
		{"yes for bool", "stream: {include_gtid: yes}", "stream.include_gtid", "true or false"},
		{"choice", "source: {tls: verify_identify}", "source.tls", "did you mean verify-identity?"},
		{"size", "memory_limit: 256MB", "memory_limit", "256MiB"},
		{"small memory", "memory_limit: 1MiB", "memory_limit", "64MiB"},
		{"duration", "shutdown_grace: 25", "shutdown_grace", "25s"},
		{"missing variable", "source: {user: \"${NOBODY}\"}", "source.user", "NOBODY"},
		{"open variable", "name: a${B", "name", "${"},
		{"twice", "name: a\nname: b", "name", "twice"},
		{"file beside secret", "source: {password_file: /run/secret, secrets_manager_secret_id: abc}", "source.secrets_manager_secret_id", "keep one"},
		{"password beside iam", "source: {password: x, iam_authentication: true, tls: verify-ca}", "source.iam_authentication", "keep one"},
		{"iam in clear", "source: {iam_authentication: true}", "source.iam_authentication", "tls: verify-identity"},
		{"iam unverified", "source: {iam_authentication: true, tls: required}", "source.iam_authentication", "tls: verify-identity"},
		{"iam through a socket", "source: {host: /run/mysqld/mysqld.sock, iam_authentication: true, tls: verify-ca}", "source.host", "endpoint"},
		{"secret's ARN of another service", "source: {secrets_manager_secret_id: \"arn:aws:ssm:eu-west-1:123456789012:parameter/db\"}", "source.secrets_manager_secret_id", "arn:aws:secretsmanager"},
		{"secret's region twice", "source: {region: us-east-1, secrets_manager_secret_id: \"arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-abcdef\"}", "source.region", "contradicts"},
		{"parameter's ARN of another service", "source: {ssm_parameter_name: \"arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-abcdef\"}", "source.ssm_parameter_name", "arn:aws:ssm"},
		{"refresh of nothing", "source: {secret_refresh_interval: 1m}", "source.secret_refresh_interval", "no effect"},
		{"refresh too often", "source: {secrets_manager_secret_id: abc, secret_refresh_interval: 10ms}", "source.secret_refresh_interval", "1s"},
		{"key of nothing", "source: {secret_password_key: pw}", "source.secret_password_key", "no effect"},
		{"no key", "source: {secrets_manager_secret_id: abc, secret_password_key: \"\"}", "source.secret_password_key", "is empty"},
		{"region of nothing", "source: {region: eu-west-1}", "source.region", "no effect"},
		{"bundle without verification", "source: {tls: required, tls_ca: aws-rds}", "source.tls_ca", "no effect"},
		{"bundle without tls", "source: {tls: disabled, tls_ca: aws-rds}", "source.tls_ca", "no effect"},
		{"ca without verification", "source: {tls: required, tls_ca: faulty.yaml}", "source.tls_ca", "no effect"},
		{"cert without key", "source: {tls_cert: faulty.yaml}", "source.tls_cert", "both, or neither"},
		{"ca missing", "source: {tls: verify-ca, tls_ca: nowhere.pem}", "source.tls_ca", "can't be read"},
		{"start with load", "replication: {cdc_start_position: \"bin.000001:4\"}", "replication.cdc_start_position", "contradicts"},
		{"stop with full-load", "replication: {migration_type: full-load, cdc_stop_position: \"server_time:2026-01-01T00:00:00\"}", "replication.cdc_stop_position", "contradicts"},
		{"no position", "replication: {migration_type: cdc, cdc_start_position: yesterday}", "replication.cdc_start_position", "file:offset"},
		{"mappings missing", "replication: {table_mappings: nowhere.json}", "replication.table_mappings", "can't be read"},
		{"mapping fault", "replication: {table_mappings: {rules: [{rule-type: selektion}]}}", "replication.table_mappings", "selektion"},
		{"task settings missing", "replication: {task_settings: nowhere.json}", "replication.task_settings", "can't be read"},
		{"name and arn", "stream: {arn: \"arn:aws:kinesis:eu-west-1:123456789012:stream/tickets\"}", "stream.arn", "keep one"},
		{"embedded shards", "stream: {endpoint: embedded, embedded_shards: 0}", "stream.embedded_shards", "1 to 256"},
		{"embedded directory alone", "stream: {embedded_directory: /x}", "stream.embedded_directory", "no effect"},
		{"endpoint", "stream: {endpoint: localhost:4566}", "stream.endpoint", "http://host:port"},
		{"spill destination", "stream: {oversized_records: spill, oversized_destination: \"s3://b\"}", "stream.oversized_destination", "s3://bucket/prefix"},
		{"spill prefix", "stream: {oversized_records: spill, oversized_destination: \"s3://bucket/a/../b\"}", "stream.oversized_destination", "/../"},
		{"spill scheme", "stream: {oversized_records: spill, oversized_destination: bucket}", "stream.oversized_destination", "file:///folder"},
		{"lob size", "stream: {oversized_records: truncate-lob, lob_max_size: 0}", "stream.lob_max_size", "1 to 10240"},
		{"lob size without truncate-lob", "stream: {lob_max_size: 64}", "stream.lob_max_size", "oversized_records: truncate-lob"},
		{"alter operations", "stream: {include_table_alter_operations: true}", "stream.include_table_alter_operations", "not available yet"},
		{"constant key", "stream: {partition_key_type: constant}", "stream.partition_key_constant", "is missing"},
		{"key without type", "stream: {partition_key_name: id}", "stream.partition_key_name", "attribute-name"},
		{"before image", "stream: {before_image: {enabled: true, field_name: data}}", "stream.before_image.field_name", "choose another"},
		{"destination", "delivery: {destination: my-bucket}", "delivery.destination", "file:///folder"},
		{"destination path", "delivery: {destination: \"s3://bucket/a/b\"}", "delivery.destination", "delivery.prefix"},
		{"interval", "delivery: {buffering_hints: {interval_in_seconds: 901}}", "delivery.buffering_hints.interval_in_seconds", "0 to 900"},
		{"size", "delivery: {buffering_hints: {size_in_mbs: 0}}", "delivery.buffering_hints.size_in_mbs", "1 to 128"},
		{"compression", "delivery: {compression_format: gzpi}", "delivery.compression_format", "did you mean GZIP?"},
		{"zone", "delivery: {custom_time_zone: Berlin}", "delivery.custom_time_zone", "Europe/Berlin"},
		{"extension", "delivery: {file_extension: gz}", "delivery.file_extension", "start with a dot"},
		{"prefix", "delivery: {prefix: \"a/!{timestamp:yyyy\"}", "delivery.prefix", "close"},
		{"prefix expression", "delivery: {prefix: \"a/!{foo:bar}\"}", "delivery.prefix", "unknown expression"},
		{"prefix without error prefix", "delivery: {prefix: \"a/!{timestamp:yyyy}/\"}", "delivery.error_output_prefix", "is missing"},
		{"error prefix without its type", "delivery: {error_output_prefix: \"a/!{timestamp:yyyy}/\"}", "delivery.error_output_prefix", "error-output-type"},
		{"partition key without partitioning", "delivery: {prefix: \"!{partitionKeyFromQuery:table}/\", error_output_prefix: e/}", "delivery.prefix", "enabled: true"},
		{"partition key of a Lambda", "delivery: {prefix: \"!{partitionKeyFromLambda:x}/\", error_output_prefix: e/}", "delivery.prefix", "partitionKeyFromQuery"},
		{"partition key of an error", "delivery: {error_output_prefix: \"!{partitionKeyFromQuery:table}/!{firehose:error-output-type}/\"}", "delivery.error_output_prefix", "has no partition"},
		{"partitioning without key", "delivery: {dynamic_partitioning: {enabled: true}}", "delivery.prefix", "partitionKeyFromQuery:table"},
		{"query without partitioning", "delivery: {dynamic_partitioning: {metadata_extraction_query: \"{a: .b}\"}}", "delivery.dynamic_partitioning.metadata_extraction_query", "no effect"},
		{"open partitions", "delivery: {dynamic_partitioning: {max_open_partitions: 0}}", "delivery.dynamic_partitioning.max_open_partitions", "1 to 5000"},
		{"partition time", "delivery: {partition_time: comit}", "delivery.partition_time", "did you mean commit?"},
		{"partition time without a timestamp", "delivery: {partition_time: commit, prefix: \"!{firehose:random-string}/\", error_output_prefix: e/}", "delivery.partition_time", "no timestamp"},
		{"kms key", "delivery: {destination: \"s3://b\", encryption_configuration: {kms_encryption_config: {aws_kms_key_arn: mine}}}", "delivery.encryption_configuration.kms_encryption_config.aws_kms_key_arn", "arn:aws:kms"},
		{"tags of a folder", "delivery: {destination: \"file:///x\", object_tags: {a: b}}", "delivery.object_tags", "no effect"},
		{"class of a folder", "delivery: {destination: \"file:///x\", storage_class: GLACIER_IR}", "delivery.storage_class", "no effect"},
		{"class that cannot be read", "delivery: {storage_class: DEEP_ARCHIVE}", "delivery.storage_class", "STANDARD_IA"},
		{"tag name", "delivery: {destination: \"s3://b\", object_tags: {\"aws:x\": b}}", "delivery.object_tags.aws:x", "without aws:"},
		{"tag character", "delivery: {destination: \"s3://b\", object_tags: {team: \"a & b\"}}", "delivery.object_tags.team", "_.:/=+-@"},
		{"tag value", "delivery: {object_tags: {x: [b]}}", "delivery.object_tags.x", "is a list"},
		{"tags as text", "delivery: {object_tags: \"a=b\"}", "delivery.object_tags", "names and values"},
		{"dedupe without details", "stream: {include_transaction_details: false}", "stream.include_transaction_details", "deduplicate"},
		{"start_from", "delivery: {start_from: NOW}", "delivery.start_from", "TRIM_HORIZON"},
		{"table name", "checkpoint: {store: \"dynamodb://my table\"}", "checkpoint.store", "3 to 255 letters"},
		{"store without scheme", "checkpoint: {store: state}", "checkpoint.store", "dynamodb://table"},
		{"store without bucket", "checkpoint: {store: \"s3:///state\"}", "checkpoint.store", "s3://bucket/prefix"},
		{"store outside of its prefix", "checkpoint: {store: \"s3://bucket/a/../b\"}", "checkpoint.store", "s3://bucket/prefix"},
		{"region of a folder", "checkpoint: {region: eu-west-1}", "checkpoint.region", "no effect with a file:// store"},
		{"endpoint of a folder", "checkpoint: {endpoint: \"http://127.0.0.1:4570\"}", "checkpoint.endpoint", "no effect with a file:// store"},
		{"endpoint of a table", "checkpoint: {store: \"dynamodb://table\", endpoint: \"127.0.0.1:4570\"}", "checkpoint.endpoint", "http://host:port"},
		{"short failover time", "checkpoint: {store: \"dynamodb://table\", failover_time: 1s}", "checkpoint.failover_time", "2s to 10m"},
		{"long failover time", "checkpoint: {store: \"s3://bucket\", failover_time: 1h}", "checkpoint.failover_time", "2s to 10m"},
		{"failover time of a folder", "checkpoint: {failover_time: 5s}", "checkpoint.failover_time", "no effect with a file:// store"},
		{"path style of a table", "checkpoint: {store: \"dynamodb://table\", use_path_style: true}", "checkpoint.use_path_style", "without an s3:// store"},
		{"embedded beside a table", "{stream: {endpoint: embedded}, checkpoint: {store: \"dynamodb://table\"}}", "stream.embedded_directory", "name a folder"},
		{"relative store", "checkpoint: {store: \"file://state\"}", "checkpoint.store", "three slashes"},
		{"listen", "http: {listen: 9187}", "http.listen", "127.0.0.1:9187"},
		{"short token", "http: {token: hunter2}", "http.token", "shorter than 16"},
		{"two tokens", "http: {token: hunter2hunter2hunter2, token_file: /x}", "http.token_file", "keep one"},
		{"host with a port", "http: {allowed_hosts: \"status.example.com:80\"}", "http.allowed_hosts", "without scheme and port"},
		{"level", "log: {level: verbose}", "log.level", "debug"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("testdata/pipeline.yaml", change(t, minimal, c.change), env("PW", "x"), Both)
			faults, ok := errors.AsType[*Faults](err)
			if !ok {
				t.Fatalf("err = %v, want *Faults", err)
			}
			var found bool
			for _, f := range faults.List {
				found = found || f.Path == c.path && strings.Contains(f.String(), c.want)
				if strings.Contains(f.String(), "hunter2") {
					t.Errorf("a secret is printed: %s", f)
				}
			}
			if !found {
				t.Errorf("no fault at %s that says %q in\n%v", c.path, c.want, err)
			}
		})
	}
}

// change lays the keys of one YAML text over those of another. What gives a key twice is put before it as it stands.
func change(t *testing.T, base, over string) []byte {
	t.Helper()
	var a, b yaml.Node
	if err := yaml.Unmarshal([]byte(base), &a); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(over), &b); err != nil {
		t.Fatal(err)
	}
	merge(a.Content[0], b.Content[0])
	out, err := yaml.Marshal(&a)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func merge(a, b *yaml.Node) {
	touched := map[int]bool{}
	for i := 0; i < len(b.Content); i += 2 {
		at := -1
		for j := 0; j < len(a.Content); j += 2 {
			if a.Content[j].Value == b.Content[i].Value && !touched[j] {
				at = j
			}
		}
		switch {
		case at < 0:
			a.Content = append(a.Content, b.Content[i], b.Content[i+1])
		case a.Content[at+1].Kind == yaml.MappingNode && b.Content[i+1].Kind == yaml.MappingNode:
			merge(a.Content[at+1], b.Content[i+1])
		default:
			a.Content[at+1] = b.Content[i+1]
			touched[at] = true
		}
	}
}

// TestWhatALoginNeeds changes the minimal file's source as a whole.
func TestWhatALoginNeeds(t *testing.T) {
	for source, missing := range map[string]string{
		"host: h, user: u": "source.password",
		"user: u, iam_authentication: true, tls: verify-ca": "source.host",
		"host: h, iam_authentication: true, tls: verify-ca": "source.user",
		"user: u, password: x":                              "source.host",
		"host: h.x.eu-west-1.rds.amazonaws.com, user: u, tls: verify-identity, tls_ca: aws-rds, iam_authentication: true, region: eu-west-1": "",
		"secrets_manager_secret_id: tickets/db":                                   "",
		"ssm_parameter_name: /tickets/db, secret_password_key: pw, region: a-b-1": "",
		"password_file: run/secret, host: h, user: u, port: 3307":                 "",
	} {
		text := strings.Replace(minimal, `host: db.example.com, user: repl, password: "${PW}"`, source, 1)
		p, err := Parse("/etc/pipeline.yaml", []byte(text), env(), Both)
		faults, _ := errors.AsType[*Faults](err)
		switch {
		case missing == "" && err != nil:
			t.Errorf("%s: %v", source, err)
		case missing != "" && (faults == nil || len(faults.List) != 1 || faults.List[0].Path != missing):
			t.Errorf("%s: %v; want that %s is missing", source, err, missing)
		case strings.Contains(source, "password_file") && (p.Source.PasswordFile != "/etc/run/secret" || p.Source.Port != 3307):
			t.Errorf("%s: %s, port %d", source, p.Source.PasswordFile, p.Source.Port)
		case strings.HasPrefix(source, "secrets_manager") && (p.Source.Port != 0 || p.Source.SecretRefresh != time.Hour || p.Source.PasswordKey != "password"):
			t.Errorf("%s: port %d, refresh %s, key %s", source, p.Source.Port, p.Source.SecretRefresh, p.Source.PasswordKey)
		}
	}
}

func TestHalvesThatAreNotAskedForDoNotMatter(t *testing.T) {
	_, err := Parse("pipeline.yaml", []byte(minimal), env(), Deliver)
	if err != nil {
		t.Errorf("deliver must not need the password's variable: %v", err)
	}
	if _, err := Parse("pipeline.yaml", []byte(minimal), env(), Replicate); err == nil {
		t.Error("replicate needs the password's variable")
	}
	noSource := "name: a\nstream: {name: a}\ndelivery: {destination: \"file:///tmp/o\"}\ncheckpoint: {store: \"file:///tmp/s\"}\n"
	p, err := Parse("pipeline.yaml", []byte(noSource), env(), Present)
	if err != nil || p.Halves != Deliver {
		t.Errorf("a file for deliver alone: %v", err)
	}
	if _, err := Parse("pipeline.yaml", []byte(noSource), env(), Both); err == nil {
		t.Error("run needs a source")
	}
}

func TestEmbeddedStreamStandsBesideTheCheckpoints(t *testing.T) {
	p, err := Parse("pipeline.yaml", change(t, minimal, "stream: {endpoint: embedded}"), env("PW", ""), Both)
	if err != nil {
		t.Fatal(err)
	}
	if p.Stream.EmbeddedDirectory != "/var/lib/binlogstreamer/stream" || !p.Stream.Embedded() {
		t.Errorf("directory = %s", p.Stream.EmbeddedDirectory)
	}
}

func TestARNGivesTheRegion(t *testing.T) {
	text := strings.Replace(minimal, "stream: {name: tickets, region: eu-west-1}", "stream: {arn: \"arn:aws:kinesis:us-east-2:123456789012:stream/tickets\"}", 1)
	p, err := Parse("pipeline.yaml", []byte(text), env("PW", ""), Both)
	if err != nil || p.Stream.Region != "us-east-2" {
		t.Fatalf("region %v, err %v", p, err)
	}
}

func TestInlineMappings(t *testing.T) {
	const doc = `
rules:
  - rule-type: selection
    rule-id: 1
    rule-action: include
    object-locator: {schema-name: shop, table-name: "${literal}"}
    since: 2026-01-02
    n: 1.50
    none: ~
    yes: true
`
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(doc), &n); err != nil {
		t.Fatal(err)
	}
	got, err := inlineJSON(n.Content[0])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"rules":[{"rule-type":"selection","rule-id":1,"rule-action":"include","object-locator":{"schema-name":"shop","table-name":"${literal}"},"since":"2026-01-02","n":1.50,"none":null,"yes":true}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestInlineMappingsAreBounded(t *testing.T) {
	doc := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		doc += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 9), c-1)
	}
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(doc), &n); err != nil {
		t.Fatal(err)
	}
	if _, err := inlineJSON(n.Content[0]); !errors.Is(err, errInlineSize) {
		t.Errorf("err = %v, want errInlineSize", err)
	}
}

// Where the bodies of oversized records go, and how much is left of LOBs, follows from other settings where nothing is said.
func TestOversizedDefaults(t *testing.T) {
	settings := t.TempDir() + "/settings.json"
	if err := os.WriteFile(settings, []byte(`{"TargetMetadata": {"LobMaxSize": 64}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change, destination string
		lob                 int
	}{
		{"name: x", "s3://my-bucket/oversized/", 32},
		{"stream: {oversized_records: spill}\ndelivery: {destination: \"s3://bucket\"}", "s3://bucket/oversized/", 32},
		{"stream: {oversized_records: spill}\ndelivery: {destination: \"file:///x/y\"}", "file:///x/y/oversized/", 32},
		{"stream: {oversized_records: spill, oversized_destination: \"s3://bucket\"}", "s3://bucket/", 32},
		{"stream: {oversized_records: spill, oversized_destination: \"s3://bucket/a/b/\"}", "s3://bucket/a/b/", 32},
		{"stream: {oversized_records: spill, oversized_destination: \"file:///x\"}", "file:///x/", 32},
		{"stream: {oversized_records: truncate-lob}\nreplication: {task_settings: " + settings + "}", "s3://my-bucket/oversized/", 64},
		{"stream: {oversized_records: truncate-lob, lob_max_size: 8}\nreplication: {task_settings: " + settings + "}", "s3://my-bucket/oversized/", 8},
	} {
		p, err := Parse("testdata/pipeline.yaml", change(t, minimal, c.change), env("PW", "x"), Both)
		if err != nil {
			t.Errorf("%s: %v", c.change, err)
			continue
		}
		if p.Stream.OversizedDestination.String() != c.destination || p.Stream.LOBMaxSize != c.lob {
			t.Errorf("%s: destination %q, LOBs of %d KiB", c.change, p.Stream.OversizedDestination, p.Stream.LOBMaxSize)
		}
	}
}

func TestTaskSettings(t *testing.T) {
	s, problems := parseSettings([]byte(`{"TargetMetadata": {"LobMaxSize": 64, "SupportLobs": true}, "FullLoadSettings": {"MaxFullLoadSubTasks": 4, "CommitRate": 10000, "TargetTablePrepMode": null},
		"ErrorBehavior": {"TableErrorPolicy": "STOP_TASK", "DataErrorPolicy": "LOG_ERROR"}, "TTSettings": null}`))
	if len(problems) > 0 || s.MaxFullLoadSubTasks != 4 || s.TableErrorPolicy != "STOP_TASK" || s.LOBMaxSize != 64 {
		t.Errorf("settings %+v, problems %v", s, problems)
	}
	if diff := cmp.Diff([]string{"ErrorBehavior.DataErrorPolicy", "FullLoadSettings.CommitRate", "TargetMetadata.SupportLobs"}, s.NoEffect); diff != "" {
		t.Errorf("without effect (-want +got):\n%s", diff)
	}
	for _, bad := range []string{`{`, `[]`, `{"FullLoadSettings": 8}`, `{"FullLoadSettings": {"MaxFullLoadSubTasks": 50}}`, `{"FullLoadSettings": {"MaxFullLoadSubTasks": "8"}}`,
		`{"ErrorBehavior": {"TableErrorPolicy": "IGNORE_RECORD"}}`, `{"ErrorBehavior": []}`, `{"TargetMetadata": {"LobMaxSize": -1}}`, `{"TargetMetadata": {"LobMaxSize": "32"}}`} {
		if _, problems := parseSettings([]byte(bad)); len(problems) == 0 {
			t.Errorf("%s: no problem found", bad)
		}
	}
}

func TestPositions(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"mysql-bin-changelog.024:373":    "error",
		"mysql-bin-changelog.000024:373": "mysql-bin-changelog.000024:373",
		"checkpoint:V1#27#mysql-bin-changelog.157832:1975:-1:2002:677883278264080:mysql-bin-changelog.157832:1876#0#0#*#0#93": "mysql-bin-changelog.157832:2002",
		"checkpoint:V1#27#$.583860:1357:3:1400:2507:$.583860:1300#0#0#*#0#93":                                                 "checkpoint:V1#1#$.583860:1357:3:1400:2507:$.583860:1357#0#0#*#0#0",
		"checkpoint:V1#1#$.583860:1357:-1:1400:1:$.583860:1#0#0#*#0#93":                                                       "$.583860:1400",
		"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5":                                                                            "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
		"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,\n  3e11fa47-71ca-11e1-9e33-c80aa9429563:tag:1":                           "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,3e11fa47-71ca-11e1-9e33-c80aa9429563:tag:1",
		"0-1-100,1-2-3":       "0-1-100,1-2-3",
		"2018-03-08T12:12:12": "2018-03-08T12:12:12Z",
		"soon":                "error",
	} {
		var p StartPosition
		got := "error"
		if err := p.UnmarshalText([]byte(text)); err == nil {
			got = p.String()
		}
		if got != want {
			t.Errorf("%q = %s, want %s", text, got, want)
		}
	}
	var stop StopPosition
	if err := stop.UnmarshalText([]byte("commit_time: 2018-02-09T12:12:12")); err != nil || stop.String() != "commit_time:2018-02-09T12:12:12" {
		t.Errorf("stop = %v, %v", stop, err)
	}
}

func TestSecretNeverPrints(t *testing.T) {
	type wrapper struct {
		Open   Secret
		closed Secret
		deep   struct{ list []Secret }
	}
	w := wrapper{Open: NewSecret("hunter2"), closed: NewSecret("hunter2")}
	w.deep.list = []Secret{NewSecret("hunter2")}
	var logged strings.Builder
	log := slog.New(slog.NewJSONHandler(&logged, nil))
	log.Info("x", "secret", w.Open, "wrapper", w, "pointer", &w)
	out := []string{logged.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T", "%p"} {
		out = append(out, fmt.Sprintf(verb, w), fmt.Sprintf(verb, w.Open), fmt.Sprintf(verb, &w.Open), fmt.Sprintf(verb, &w))
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		b, err := marshal(w.Open)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	out = append(out, fmt.Sprint(fmt.Errorf("login: %v", w)))
	for _, s := range out {
		if strings.Contains(s, "hunter2") || strings.Contains(s, "68756e74657232") {
			t.Errorf("printed: %s", s)
		}
	}
	if w.Open.Reveal() != "hunter2" {
		t.Error("Reveal must give the text")
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"256MiB": 256 << 20, "1 GiB": 1 << 30, "0B": 0, "17B": 17, "8388607TiB": 8388607 << 40} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%s = %d, %v", text, got, err)
		}
		if back, err := ParseSize(got.String()); err != nil || back != got {
			t.Errorf("%s prints as %s, which is not the same", text, got)
		}
	}
	for _, bad := range []string{"", "256", "256MB", "-1MiB", "1.5GiB", "8388608TiB", "MiB", "1e3B"} {
		if got, err := ParseSize(bad); err == nil {
			t.Errorf("%s = %v, want an error", bad, got)
		}
	}
}

func TestUnreadableFiles(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "list": "- a", "broken": "a: b: c", "two": "name: a\n---\nname: b", "tab": "a:\n\tb: c"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, env(), Both); err == nil {
			t.Errorf("%s: no error", name)
		} else if _, ok := errors.AsType[*Faults](err); !ok {
			t.Errorf("%s: %v is no *Faults", name, err)
		}
	}
	if _, err := Load("nowhere.yaml", env(), Both); err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("err = %v", err)
	}
}

// TestTextsInVariables has the configuration and the documents that it names in environment variables: a container's
// task definition can carry them then, and no file is needed.
func TestTextsInVariables(t *testing.T) {
	const text = `
name: tickets
source: {host: db, user: u, password: "${PW}"}
replication: {table_mappings: "env:MAPPINGS", task_settings: "env:SETTINGS"}
stream: {name: tickets, region: eu-west-1}
delivery: {destination: "s3://bucket"}
checkpoint: {store: "dynamodb://tickets"}
`
	mappings, err := os.ReadFile("../../deploy/examples/table-mappings.json")
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"PIPELINE", text, "PW", "p", "MAPPINGS", string(mappings), "SETTINGS", `{"FullLoadSettings": {"MaxFullLoadSubTasks": 3}}`}
	p, err := Load("env:PIPELINE", env(all...), Both)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "tickets" || p.File != "env:PIPELINE" || p.Replication.Rules == nil || p.Replication.Settings.MaxFullLoadSubTasks != 3 {
		t.Errorf("read %q from %s, rules %v, settings %+v", p.Name, p.File, p.Replication.Rules, p.Replication.Settings)
	}
	for i, want := range map[int]string{
		0: "can't be read: the environment variable PIPELINE is not set",
		4: "can't be read (env:MAPPINGS, the environment variable MAPPINGS is not set); write env:NAME",
		6: "can't be read (env:SETTINGS, the environment variable SETTINGS is not set); write env:NAME",
	} {
		_, err := Load("env:PIPELINE", env(slices.Concat(all[:i], all[i+2:])...), Both)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v\nwant %q", all[i], err, want)
		}
	}
	if _, err := Load("env:A-B", env(all...), Both); err == nil || !strings.Contains(err.Error(), "env:A-B does not name an environment variable") {
		t.Errorf("err = %v", err)
	}
}

// TestPathsOfATextInAVariable start where the daemon was started.
func TestPathsOfATextInAVariable(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("m.json", []byte(`{"rules": [{"rule-type": "selection", "rule-id": "1", "rule-name": "1",
		"object-locator": {"schema-name": "a", "table-name": "b"}, "rule-action": "include"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const text = `{name: t, source: {host: db, user: u, password: p}, replication: {table_mappings: m.json}, stream: {name: t}, checkpoint: {store: "dynamodb://tickets"}}`
	if _, err := Load("env:P", env("P", text), Replicate); err != nil {
		t.Error(err)
	}
}

// TestConsoleToken: it is read where control needs it, never printed, and a name may be written in any case.
func TestConsoleToken(t *testing.T) {
	const text = `{name: t, http: {token: "${TOKEN}", allowed_hosts: "Status.Example.com., b ,"}}`
	p, err := Load("env:P", env("P", text, "TOKEN", "hunter2hunter2hunter2"), Control)
	if err != nil {
		t.Fatal(err)
	}
	if p.HTTP.Token.Reveal() != "hunter2hunter2hunter2" || !slices.Equal(p.HTTP.AllowedHosts, Hosts{"status.example.com", "b"}) || strings.Contains(fmt.Sprintf("%+v", p.HTTP), "hunter2") {
		t.Errorf("%+v", p.HTTP)
	}
	if _, err := Load("env:P", env("P", text), Control); err == nil || !strings.Contains(err.Error(), "TOKEN") {
		t.Errorf("control without its token: %v", err)
	}
	if _, err := Load("env:P", env("P", text), Console); err != nil {
		t.Errorf("looking needs no token: %v", err)
	}
	if p, err = Parse("/etc/b/p.yaml", []byte(`{http: {token_file: token}}`), env(), Control); err != nil || p.HTTP.TokenFile != "/etc/b/token" {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestConsoleAloneNeedsNothingElse: whoever asks a running daemon need not have the daemon's variables and files.
func TestConsoleAloneNeedsNothingElse(t *testing.T) {
	const text = `{name: t, source: {host: db, port: "${PORT}", user: u, password: "${PW}", tls_ca: /nowhere}, replication: {table_mappings: "env:M"},
		stream: {name: "${S}", embedded_shards: "${N}"}, checkpoint: {store: "dynamodb://${T}"}, http: {listen: "127.0.0.1:${HTTP_PORT}"}}`
	p, err := Load("env:P", env("P", text, "HTTP_PORT", "9187"), Console)
	if err != nil {
		t.Fatal(err)
	}
	if p.HTTP.Listen != "127.0.0.1:9187" {
		t.Errorf("listens on %q", p.HTTP.Listen)
	}
	for port, want := range map[string]string{"": "needs the environment variable HTTP_PORT", "x": "is not an address to listen on"} {
		pairs := []string{"P", text}
		if port != "" {
			pairs = append(pairs, "HTTP_PORT", port)
		}
		if _, err := Load("env:P", env(pairs...), Console); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with port %q: %v, want %q", port, err, want)
		}
	}
}
