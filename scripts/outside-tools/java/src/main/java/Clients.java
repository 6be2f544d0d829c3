import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.List;
import java.util.concurrent.Callable;
import order_service.api.OrdersApi;
import order_service.model.Order;
import order_service.model.OrderCreate;
import order_service.model.OrderStatus;
import order_service.model.OrderStatusUpdate;
import user_service.api.UsersApi;
import user_service.model.User;
import user_service.model.UserCreate;
import user_service.model.UserReplace;

/** The clients of openapi-generator. */
class Clients {
    private final UsersApi users;
    private final OrdersApi orders;

    Clients() {
        var userClient = new user_service.ApiClient();
        userClient.updateBaseUri(System.getenv("USER_SERVICE_URL"));
        users = new UsersApi(userClient);
        var orderClient = new order_service.ApiClient();
        orderClient.updateBaseUri(System.getenv("ORDER_SERVICE_URL"));
        orders = new OrdersApi(orderClient);
    }

    /** The status and the error code with which a call is refused. */
    String refusal(Callable<?> call) throws Exception {
        try {
            return "success " + call.call();
        } catch (user_service.ApiException error) {
            return error.getCode() + " " + errorCode(error.getResponseBody());
        } catch (order_service.ApiException error) {
            return error.getCode() + " " + errorCode(error.getResponseBody());
        }
    }

    private static String errorCode(String body) throws Exception {
        return new ObjectMapper().readTree(body).path("error_code").asText();
    }

    long createUser(String email, String name, String key) throws Exception {
        var user = new UserCreate().email(email).name(name);
        return users.userCreate(
            UsersApi.APIUserCreateRequest.newBuilder().userCreate(user).idempotencyKey(key).build()).getId();
    }

    List<String> user(long id) throws Exception {
        return emailAndName(users.userView(UsersApi.APIUserViewRequest.newBuilder().userId(id).build()));
    }

    List<String> replaceUser(long id, String email, String name) throws Exception {
        var user = new UserReplace().email(email).name(name);
        return emailAndName(users.userReplace(
            UsersApi.APIUserReplaceRequest.newBuilder().userId(id).userReplace(user).build()));
    }

    private static List<String> emailAndName(User user) {
        return List.of(user.getEmail(), user.getName());
    }

    void deleteUser(long id) throws Exception {
        users.userDelete(UsersApi.APIUserDeleteRequest.newBuilder().userId(id).build());
    }

    Scenario.Page users(Long limit, String token) throws Exception {
        var page = users.userList(UsersApi.APIUserListRequest.newBuilder().limit(limit).pageToken(token).build());
        return new Scenario.Page(page.getItems().stream().map(User::getId).toList(), page.getNextPage());
    }

    long createOrder(long user, String key) throws Exception {
        // A list that is never set is sent as an empty one, which the service refuses.
        var order = new OrderCreate().userId(user).productId(456L).quantity(2L).items(null);
        return orders.orderCreate(
            OrdersApi.APIOrderCreateRequest.newBuilder().orderCreate(order).idempotencyKey(key).build()).getOrderId();
    }

    String orderStatus(long id) throws Exception {
        return status(orders.orderView(OrdersApi.APIOrderViewRequest.newBuilder().orderId(id).build()));
    }

    String setStatus(long id, String status) throws Exception {
        var update = new OrderStatusUpdate().status(OrderStatus.fromValue(status));
        return status(orders.orderSetStatus(
            OrdersApi.APIOrderSetStatusRequest.newBuilder().orderId(id).orderStatusUpdate(update).build()));
    }

    String cancel(long id) throws Exception {
        return status(orders.orderCancel(OrdersApi.APIOrderCancelRequest.newBuilder().orderId(id).build()));
    }

    private static String status(Order order) {
        return order.getStatus().getValue();
    }

    Scenario.Page orders(Long user, Long limit, String token) throws Exception {
        var page = orders.orderList(
            OrdersApi.APIOrderListRequest.newBuilder().userId(user).limit(limit).pageToken(token).build());
        return new Scenario.Page(page.getItems().stream().map(Order::getId).toList(), page.getNextPage());
    }
}
