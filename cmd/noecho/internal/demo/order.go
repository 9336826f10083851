package demo

import (
	"encoding/json"
	"errors"
	"fmt"
)

// order is the value of every record.
type order struct {
	ID       string `json:"order_id"`
	Customer string `json:"customer"`
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
	Cents    int    `json:"cents"`
	Attempt  int    `json:"attempt"`
}

var items = [...]string{"espresso cups", "desk lamp", "wool socks", "green tea", "notebook", "headphones", "bike bell", "umbrella"}

// customers is the number of them, and so of different record keys: enough to spread over all partitions.
const customers = 997

// newOrder makes the order with that number. It depends on nothing else, so that an echo of any past order can be made
// again without keeping the past.
func newOrder(number int64, attempt int) order {
	x := mix(uint64(number))
	return order{
		ID:       fmt.Sprintf("ord-%08d", number),
		Customer: fmt.Sprintf("c-%04d", x%customers),
		Item:     items[x>>16%uint64(len(items))],
		Quantity: int(1 + x>>24%4),
		Cents:    int(490 + x>>32%20_000),
		Attempt:  attempt,
	}
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// orderID reads the id out of a record's value.
func orderID(value []byte) (string, error) {
	var o struct {
		ID string `json:"order_id"`
	}
	if err := json.Unmarshal(value, &o); err != nil {
		return "", fmt.Errorf("the value is not an order: %w", err)
	}
	if o.ID == "" {
		return "", errors.New("the value has no order_id")
	}
	return o.ID, nil
}
