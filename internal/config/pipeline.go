package config

import (
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/mapping"
)

// Pipeline is the whole of pipeline.yaml, typed, checked and with every default filled in. Keys are AWS's own words
// in snake_case where AWS has a word.
type Pipeline struct {
	File   string // where it was read from
	Halves Half   // the halves that it was checked for
	at     map[string]place

	Name          string        `yaml:"name"` // in object names, metrics, checkpoints, server id
	Source        Source        `yaml:"source"`
	Replication   Replication   `yaml:"replication"`
	Stream        Stream        `yaml:"stream"`
	Delivery      Delivery      `yaml:"delivery"`
	Checkpoint    Checkpoint    `yaml:"checkpoint"`
	Verify        Verify        `yaml:"verify"`
	HTTP          HTTP          `yaml:"http"`
	Log           Log           `yaml:"log"`
	MemoryLimit   Size          `yaml:"memory_limit"`
	ShutdownGrace time.Duration `yaml:"shutdown_grace"`
}

// Half is a set of the two halves of the product.
type Half uint8

// The halves.
const (
	Replicate Half = 1 << iota // MySQL to Kinesis
	Deliver                    // Kinesis to S3
	Both           = Replicate | Deliver
	// Present stands for the halves whose sections are in the file.
	Present Half = 0
	// Console stands for neither: it matters only where the console listens, as for commands that ask a running daemon.
	Console Half = 1 << 2
	// Control is Console for commands that change something, and so need the token.
	Control Half = 1 << 3
)

// Source is the MySQL or MariaDB server to read from.
type Source struct {
	Host           string        `yaml:"host"`
	Port           int           `yaml:"port"`
	User           string        `yaml:"user"`
	Password       Secret        `yaml:"password"`
	PasswordFile   string        `yaml:"password_file"`
	SecretID       string        `yaml:"secrets_manager_secret_id"` // name or ARN
	ParameterName  string        `yaml:"ssm_parameter_name"`        // name or ARN
	PasswordKey    string        `yaml:"secret_password_key"`       // in a secret, parameter or file that holds JSON
	SecretRefresh  time.Duration `yaml:"secret_refresh_interval"`
	IAM            bool          `yaml:"iam_authentication"`
	Region         string        `yaml:"region"` // of secret, parameter or server
	TLS            TLSMode       `yaml:"tls"`
	TLSCA          string        `yaml:"tls_ca"` // a file, or RDSBundle
	TLSCert        string        `yaml:"tls_cert"`
	TLSKey         string        `yaml:"tls_key"`
	ServerID       uint32        `yaml:"server_id"`
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
}

// RDSBundle is the tls_ca that asks for the authorities that AWS publishes for RDS.
const RDSBundle = "aws-rds"

// Kept says whether the login is kept where it may stand with user, host and port: then the file can leave these out.
func (s *Source) Kept() bool {
	return s.PasswordFile != "" || s.SecretID != "" || s.ParameterName != ""
}

// Replication is what DMS calls a task.
type Replication struct {
	MigrationType MigrationType `yaml:"migration_type"`
	TableMappings document      `yaml:"table_mappings"`
	TaskSettings  string        `yaml:"task_settings"`
	CDCStart      StartPosition `yaml:"cdc_start_position"`
	CDCStop       StopPosition  `yaml:"cdc_stop_position"`

	Rules    *mapping.Rules // what the table mappings say
	mappings string         // their text
	Settings Settings       // what was understood of the task settings document
}

// Stream is the Kinesis stream between the halves.
type Stream struct {
	Name                        string           `yaml:"name"`
	ARN                         string           `yaml:"arn"`
	Region                      string           `yaml:"region"`
	Endpoint                    string           `yaml:"endpoint"`
	EmbeddedDirectory           string           `yaml:"embedded_directory"`
	EmbeddedShards              int              `yaml:"embedded_shards"`
	MessageFormat               MessageFormat    `yaml:"message_format"`
	IncludeTransactionDetails   bool             `yaml:"include_transaction_details"`
	IncludeGTID                 bool             `yaml:"include_gtid"`
	IncludePartitionValue       bool             `yaml:"include_partition_value"`
	PartitionIncludeSchemaTable bool             `yaml:"partition_include_schema_table"`
	IncludeTableAlterOperations bool             `yaml:"include_table_alter_operations"`
	IncludeControlDetails       bool             `yaml:"include_control_details"`
	IncludeNullAndEmpty         bool             `yaml:"include_null_and_empty"`
	NoHexPrefix                 bool             `yaml:"no_hex_prefix"`
	PartitionKeyType            PartitionKeyType `yaml:"partition_key_type"`
	PartitionKeyName            string           `yaml:"partition_key_name"`
	PartitionKeyConstant        string           `yaml:"partition_key_constant"`
	OversizedRecords            Oversized        `yaml:"oversized_records"`
	OversizedDestination        Folder           `yaml:"oversized_destination"`
	LOBMaxSize                  int              `yaml:"lob_max_size"` // KiB
	Aggregation                 bool             `yaml:"aggregation"`
	BeforeImage                 BeforeImage      `yaml:"before_image"`
}

// Embedded says whether the stream is our own, on this machine.
func (s *Stream) Embedded() bool { return s.Endpoint == EmbeddedEndpoint }

// EmbeddedEndpoint is the endpoint that asks for the embedded stream.
const EmbeddedEndpoint = "embedded"

// BeforeImage is DMS's BeforeImageSettings.
type BeforeImage struct {
	Enabled      bool         `yaml:"enabled"`
	FieldName    string       `yaml:"field_name"`
	ColumnFilter ColumnFilter `yaml:"column_filter"`
}

// Delivery is what Firehose calls a delivery stream.
type Delivery struct {
	Destination    Destination    `yaml:"destination"`
	Region         string         `yaml:"region"`
	Endpoint       string         `yaml:"endpoint"`
	UsePathStyle   bool           `yaml:"use_path_style"`
	Prefix         string         `yaml:"prefix"`
	ErrorPrefix    string         `yaml:"error_output_prefix"`
	Partitioning   Partitioning   `yaml:"dynamic_partitioning"`
	PartitionTime  PartitionTime  `yaml:"partition_time"`
	BufferingHints BufferingHints `yaml:"buffering_hints"`
	Compression    Compression    `yaml:"compression_format"`
	TimeZone       TimeZone       `yaml:"custom_time_zone"`
	FileExtension  string         `yaml:"file_extension"`
	AppendNewline  bool           `yaml:"append_delimiter_to_record"`
	Encryption     Encryption     `yaml:"encryption_configuration"`
	StorageClass   StorageClass   `yaml:"storage_class"`
	ObjectTags     Tags           `yaml:"object_tags"`
	Deduplicate    bool           `yaml:"deduplicate"`
	StartFrom      StartFrom      `yaml:"start_from"`
	AcceptLoss     bool           `yaml:"accept_loss"`
	HashRange      bool           `yaml:"kpl_hash_range_filter"`
}

// Partitioning is Firehose's dynamic partitioning: which prefix a record belongs under follows from what it says.
type Partitioning struct {
	Enabled bool   `yaml:"enabled"`
	Query   string `yaml:"metadata_extraction_query"` // a jq program that makes one object
	MaxOpen int    `yaml:"max_open_partitions"`       // of a shard's open run
}

// Encryption says how the store encrypts objects.
type Encryption struct {
	KMS KMSEncryption `yaml:"kms_encryption_config"`
}

// KMSEncryption is encryption with a key of AWS KMS.
type KMSEncryption struct {
	KeyARN string `yaml:"aws_kms_key_arn"` // empty: the bucket's default
}

// Tags are an object's tags.
type Tags map[string]string

// BufferingHints say when an object is closed: whichever is reached first.
type BufferingHints struct {
	IntervalInSeconds int `yaml:"interval_in_seconds"`
	SizeInMBs         int `yaml:"size_in_mbs"` // MiB of plain bytes, before compression
}

// Checkpoint says where positions are kept.
type Checkpoint struct {
	Store        Store  `yaml:"store"`
	Region       string `yaml:"region"` // of dynamodb:// and s3://; the stream's if it is empty
	Endpoint     string `yaml:"endpoint"`
	UsePathStyle bool   `yaml:"use_path_style"`

	// FailoverTime is how long a process may be silent before another one takes its place.
	FailoverTime time.Duration `yaml:"failover_time"`
}

// Verify is what the command of that name needs beside what the daemon has.
type Verify struct {
	// WorkDir is where it keeps what it replays. By default a folder verify beside the checkpoints, where these are in a
	// folder, else one in the system's folder for temporary files.
	WorkDir string `yaml:"work_dir"`
}

// HTTP is the console: status page, metrics, health, profiles.
type HTTP struct {
	Listen       string `yaml:"listen"`
	Token        Secret `yaml:"token"` // that pause, resume and reload must show; without one they are for this machine
	TokenFile    string `yaml:"token_file"`
	AllowedHosts Hosts  `yaml:"allowed_hosts"`
}

// Log is how the daemon logs.
type Log struct {
	Level  LogLevel  `yaml:"level"`
	Format LogFormat `yaml:"format"`
}

// defaults is a Pipeline before the file is read.
func defaults() *Pipeline {
	return &Pipeline{
		Source: Source{
			Port:        3306,
			TLS:         "preferred",
			PasswordKey: "password", // as RDS and the rotation functions write it
			// As AWS's own caching clients have it; a rotation is noticed at the login that it makes fail.
			SecretRefresh: time.Hour,
			// Two tries of DNS (5 s each by default) fit, and a security group that drops packets is noticed soon.
			ConnectTimeout: 10 * time.Second,
		},
		Replication: Replication{
			MigrationType: FullLoadAndCDC,
			Settings:      defaultSettings(),
		},
		Stream: Stream{
			// Two shards show what sharding does to order, and fit a machine of two cores.
			EmbeddedShards: 2,
			MessageFormat:  "json-unformatted",
			// DMS's default is false. Without them a record can't be told from its repetition: 200 bytes a record
			// buy exactly-once delivery.
			IncludeTransactionDetails: true,
			IncludeGTID:               true,
			PartitionKeyType:          "primary-key",
			OversizedRecords:          "fail",
			LOBMaxSize:                32, // DMS's own
			BeforeImage:               BeforeImage{FieldName: "before-image", ColumnFilter: "pk-only"},
		},
		Delivery: Delivery{
			// Firehose's own: 12 objects an hour and shard when little happens; when much happens, 5 MiB of JSON,
			// about 0.5 MiB compressed, held twice a shard.
			BufferingHints: BufferingHints{IntervalInSeconds: 300, SizeInMBs: 5},
			Compression:    "GZIP",
			TimeZone:       TimeZone{time.UTC},
			Deduplicate:    true,
			// Firehose's quota of active partitions, before one asks for more.
			Partitioning:  Partitioning{MaxOpen: 500},
			PartitionTime: "arrival",
			StorageClass:  "STANDARD",
			StartFrom:     StartFrom{Kind: TrimHorizon},
		},
		// The KCL's. Three renewals fit, so that two may fail, and retries of the SDK are over before that.
		Checkpoint: Checkpoint{FailoverTime: 10 * time.Second},
		HTTP:       HTTP{Listen: "127.0.0.1:9187"},
		Log:        Log{Level: "info", Format: "json"},
		// A quarter of the smallest Fargate task (1 GiB): the Go heap's soft ceiling. Replicate may queue an eighth of
		// it (32 MiB), deliver may hold a quarter (64 MiB), and the embedded stream another quarter.
		MemoryLimit: 256 * MiB,
		// ECS and Kubernetes kill 30 s after SIGTERM: 25 s to flush leave 5 s to save and to leave.
		ShutdownGrace: 25 * time.Second,
	}
}
