// Go's own client as it is by default.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	for i := 2; i < len(os.Args); i += 2 {
		body := strings.NewReader(os.Args[i+1])
		answer, err := http.Post(os.Args[1]+os.Args[i], "application/json", body)
		if err != nil {
			panic(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%d %s\n", answer.StatusCode, text)
	}
}
