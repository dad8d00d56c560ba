package kinesisin

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Position is a place in a shard to read from. It is concrete unless it is the horizon: the same position always means
// the same records.
type Position struct {
	Kind     PositionKind `json:"kind"`
	Sequence string       `json:"sequence,omitempty"`
	Time     time.Time    `json:"time,omitzero"`
}

// PositionKind says how a Position is meant.
type PositionKind string

// The kinds of position, as Kinesis spells them.
const (
	TrimHorizon   PositionKind = "TRIM_HORIZON"
	AtTimestamp   PositionKind = "AT_TIMESTAMP"
	AtSequence    PositionKind = "AT_SEQUENCE_NUMBER"
	AfterSequence PositionKind = "AFTER_SEQUENCE_NUMBER"
)

// Horizon is the oldest record that is left.
func Horizon() Position { return Position{Kind: TrimHorizon} }

// From is the first record that arrived at a time or later.
func From(t time.Time) Position { return Position{Kind: AtTimestamp, Time: t} }

// At is the record with a sequence number.
func At(sequence string) Position { return Position{Kind: AtSequence, Sequence: sequence} }

// After is behind the record with a sequence number.
func After(sequence string) Position { return Position{Kind: AfterSequence, Sequence: sequence} }

// String is the position for messages.
func (p Position) String() string {
	switch p.Kind {
	case AtSequence, AfterSequence:
		return string(p.Kind) + " " + p.Sequence
	case AtTimestamp:
		return string(p.Kind) + " " + p.Time.UTC().Format(time.RFC3339Nano)
	}
	return string(p.Kind)
}

// apply puts the position into a request.
func (p Position) apply(in *kinesis.GetShardIteratorInput) error {
	in.ShardIteratorType = types.ShardIteratorType(p.Kind)
	switch p.Kind {
	case TrimHorizon:
	case AtTimestamp:
		in.Timestamp = aws.Time(p.Time)
	case AtSequence, AfterSequence:
		in.StartingSequenceNumber = aws.String(p.Sequence)
	default:
		return fmt.Errorf("position kind %q is unknown", p.Kind)
	}
	return nil
}
