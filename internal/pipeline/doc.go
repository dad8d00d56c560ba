// Package pipeline assembles the two halves of the product from the leaf packages and drives them: Replicate takes
// rows from MySQL to the stream, Deliver takes records from the stream to objects. The leaves know nothing of each
// other; what must happen in which order, and what is saved when, is decided here.
//
// Replicate promises: a change is never saved as done before the stream acknowledged it; two changes of one key leave
// in commit order; a load record never follows a newer change of its key. Deliver promises: a stored record is stored
// once, and a checkpoint is never ahead of the objects.
package pipeline
