// Package tools pins the project's development tools, apart from the product's own dependencies, and
// holds the tests of the files that are not Go: docker-compose.yml, the Dockerfile and the report that
// ends `make test`. It must not import the product.
package tools
