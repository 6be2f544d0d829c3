// What every client must be able to do: the steps of scripts/outside-tools/python/scenario.py.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
)

const (
	// An id that is not in use.
	unknown = 999999999999
	// A list that has more pages than this does not end.
	maxPages = 1000
)

func main() {
	random := make([]byte, 16)
	_, err := rand.Read(random)
	must(err)
	runID := hex.EncodeToString(random)

	emails := make([]string, 5)
	created := make([]int64, 5)
	for n := range emails {
		emails[n] = fmt.Sprintf("%d-%s@example.com", n, runID)
		created[n] = succeed(createUser(emails[n], "Ada Lovelace", "user-"+emails[n])).GetId()
	}
	ada := created[0]
	repeated := succeed(createUser(emails[0], "Ada Lovelace", "user-"+emails[0])).GetId()
	expect("a repeated key creates no user", repeated, ada)
	expect("a user is read", succeed(viewUser(ada)).GetName(), "Ada Lovelace")
	expect("a user is replaced", succeed(replaceUser(ada, emails[0], "Ada King")).GetName(), "Ada King")
	_, err = createUser(emails[1], "Grace", "")
	expect("a taken address is refused", refusal(err), "409 email_taken")
	expectAll("the list of users", created, pages(listUsers))

	orders := make([]int64, 5)
	for n := range orders {
		orders[n] = succeed(createOrder(ada, fmt.Sprintf("order-%d-%s", n, runID))).GetOrderId()
	}
	first := orders[0]
	again := succeed(createOrder(ada, "order-0-"+runID)).GetOrderId()
	expect("a repeated key places no order", again, first)
	expect("an order starts as created", string(succeed(viewOrder(first)).GetStatus()), "created")
	expect("a status is changed", string(succeed(setStatus(first, "confirmed")).GetStatus()), "confirmed")
	expect("an order is cancelled", string(succeed(cancel(first)).GetStatus()), "cancelled")
	_, err = setStatus(first, "completed")
	expect("a cancelled order stays so", refusal(err), "409 invalid_transition")
	_, err = createOrder(unknown, "")
	expect("an order is refused to an unknown user", refusal(err), "404 user_not_found")
	found := pages(func(limit int64, token string) ([]int64, *string) { return listOrders(ada, limit, token) })
	expectAll("the orders of a user", orders, found)
	expect("a filter finds nothing else", len(found), len(orders))
	_, err = viewOrder(unknown)
	expect("an unknown order is not found", refusal(err), "404 order_not_found")

	for _, user := range created {
		must(deleteUser(user))
	}
	_, err = viewUser(ada)
	expect("a deleted user is not found", refusal(err), "404 user_not_found")
}

// pages returns the ids of a list that is read two items a page.
func pages(list func(limit int64, token string) ([]int64, *string)) []int64 {
	page, next := list(2, "")
	ids := page
	for count := 1; next != nil; count++ {
		expect("the length of a page that is not the last", len(page), 2)
		expect("a list ends", count < maxPages, true)
		// The token contains the filters and the page size.
		page, next = list(0, *next)
		ids = append(ids, page...)
	}
	expect("the last page is no longer than the others", len(page) <= 2, true)
	return ids
}

func expectAll(what string, created, found []int64) {
	seen := map[int64]bool{}
	for _, id := range found {
		seen[id] = true
	}
	expect(what+": different ids", len(seen), len(found))
	for _, id := range created {
		expect(fmt.Sprintf("%s has %d", what, id), seen[id], true)
	}
}

func expect[T comparable](what string, actual, expected T) {
	if actual != expected {
		fail(fmt.Sprintf("%s: expected %v, not %v", what, expected, actual))
	}
}

func succeed[T any](value T, err error) T {
	must(err)
	return value
}

func must(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(reason any) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
