// The clients of openapi-generator.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"scenario/order_service"
	"scenario/user_service"
)

var (
	ctx       = context.Background()
	usersAPI  = user_service.NewAPIClient(usersConfiguration()).UsersAPI
	ordersAPI = order_service.NewAPIClient(ordersConfiguration()).OrdersAPI
)

func usersConfiguration() *user_service.Configuration {
	configuration := user_service.NewConfiguration()
	configuration.Servers = user_service.ServerConfigurations{{URL: os.Getenv("USER_SERVICE_URL")}}
	return configuration
}

func ordersConfiguration() *order_service.Configuration {
	configuration := order_service.NewConfiguration()
	configuration.Servers = order_service.ServerConfigurations{{URL: os.Getenv("ORDER_SERVICE_URL")}}
	return configuration
}

// Refused is an error of a service.
type Refused struct {
	status int
	body   []byte
	cause  error
}

func (refused *Refused) Error() string {
	return fmt.Sprintf("%v: %s", refused.cause, refused.body)
}

// answer turns an error of a service into Refused.
func answer[T any](value T, response *http.Response, err error) (T, error) {
	var body interface{ Body() []byte }
	if err != nil && response != nil && errors.As(err, &body) {
		return value, &Refused{response.StatusCode, body.Body(), err}
	}
	return value, err
}

// refusal returns the status and the error code with which a call was refused.
func refusal(err error) string {
	var refused *Refused
	if !errors.As(err, &refused) {
		return fmt.Sprint(err)
	}
	var body struct {
		ErrorCode string `json:"error_code"`
	}
	must(json.Unmarshal(refused.body, &body))
	return fmt.Sprintf("%d %s", refused.status, body.ErrorCode)
}

func createUser(email, name, key string) (*user_service.User, error) {
	request := usersAPI.UserCreate(ctx).UserCreate(*user_service.NewUserCreate(email, name))
	if key != "" {
		request = request.IdempotencyKey(key)
	}
	return answer(request.Execute())
}

func viewUser(id int64) (*user_service.User, error) {
	return answer(usersAPI.UserView(ctx, id).Execute())
}

func replaceUser(id int64, email, name string) (*user_service.User, error) {
	replacement := user_service.NewUserReplace(email, name)
	return answer(usersAPI.UserReplace(ctx, id).UserReplace(*replacement).Execute())
}

func deleteUser(id int64) error {
	_, err := usersAPI.UserDelete(ctx, id).Execute()
	return err
}

// listUsers returns a page of ids, and the token of the next page; nil if there is none.
func listUsers(limit int64, token string) ([]int64, *string) {
	request := usersAPI.UserList(ctx)
	if limit != 0 {
		request = request.Limit(limit)
	}
	if token != "" {
		request = request.PageToken(token)
	}
	page := succeed(answer(request.Execute()))
	ids := []int64{}
	for _, user := range page.GetItems() {
		ids = append(ids, user.GetId())
	}
	return ids, page.NextPage
}

func createOrder(user int64, key string) (*order_service.OrderReceipt, error) {
	order := order_service.NewOrderCreate(user)
	order.SetProductId(456)
	order.SetQuantity(2)
	request := ordersAPI.OrderCreate(ctx).OrderCreate(*order)
	if key != "" {
		request = request.IdempotencyKey(key)
	}
	return answer(request.Execute())
}

func viewOrder(id int64) (*order_service.Order, error) {
	return answer(ordersAPI.OrderView(ctx, id).Execute())
}

func setStatus(id int64, status order_service.OrderStatus) (*order_service.Order, error) {
	update := order_service.NewOrderStatusUpdate(status)
	return answer(ordersAPI.OrderSetStatus(ctx, id).OrderStatusUpdate(*update).Execute())
}

func cancel(id int64) (*order_service.Order, error) {
	return answer(ordersAPI.OrderCancel(ctx, id).Execute())
}

// listOrders returns a page of ids of the orders of a user, and the token of the next page; nil if there is none. The
// token contains the user.
func listOrders(user, limit int64, token string) ([]int64, *string) {
	request := ordersAPI.OrderList(ctx)
	if limit != 0 {
		request = request.Limit(limit)
	}
	if token == "" {
		request = request.UserId(user)
	} else {
		request = request.PageToken(token)
	}
	page := succeed(answer(request.Execute()))
	ids := []int64{}
	for _, order := range page.GetItems() {
		ids = append(ids, order.GetId())
	}
	return ids, page.NextPage
}
