// Package dedupe decides, record by record, what a reader of one shard keeps: it drops what a writer sent twice, and
// what was sent by a writer that another one has replaced.
//
// It is a pure function of the shard's content. Every reader that goes through the same records in the same order
// drops the same ones, so the state can be lost and rebuilt, or saved and continued, with the same result. Changes are
// told by their positions, and records that have none (loads, control records) by their numbers. As long as writers keep
// their newest unacknowledged change within Window changes of their saved checkpoint, and their numbers within Window of
// the lowest that is not acknowledged, nothing that was never stored is dropped and nothing that was stored is kept a
// second time. Records without a writer term, such as those of DMS, always pass.
package dedupe
