// Package stored reads objects back that deliver has stored, in a bucket or in a folder: which there are, what each
// says about itself, and the records in it, in every form that objects have or had. It promises to write nothing, to
// hold one record in memory and not the object (a ZIP file as it is stored excepted), and that an object which is not
// what its metadata says is an error that names it.
package stored
