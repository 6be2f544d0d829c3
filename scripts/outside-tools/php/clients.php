<?php

// The clients of openapi-generator, on Debian's Guzzle.

declare(strict_types=1);

require 'GuzzleHttp/autoload.php';

// The reason of a failure is the last line.
set_exception_handler(function (Throwable $error): void {
    fwrite(STDERR, "$error\n{$error->getMessage()}\n");
    exit(1);
});

// What Composer would make of the clients' composer.json.
spl_autoload_register(function (string $class): void {
    [$service, $rest] = explode('\\', $class, 2) + [1 => ''];
    $file = __DIR__ . "/$service/lib/" . str_replace('\\', '/', $rest) . '.php';
    if (is_file($file)) {
        require $file;
    }
});

$usersApi = new user_service\Api\UsersApi(
    new GuzzleHttp\Client(),
    (new user_service\Configuration())->setHost(getenv('USER_SERVICE_URL')),
);
$ordersApi = new order_service\Api\OrdersApi(
    new GuzzleHttp\Client(),
    (new order_service\Configuration())->setHost(getenv('ORDER_SERVICE_URL')),
);

/** The status and the error code with which a call is refused. */
function refusal(callable $call): array
{
    try {
        return ['success', $call()];
    } catch (user_service\ApiException | order_service\ApiException $error) {
        return [$error->getCode(), json_decode($error->getResponseBody())->error_code];
    }
}

function createUser(string $email, string $name, ?string $key = null): int
{
    global $usersApi;
    $user = (new user_service\Model\UserCreate())->setEmail($email)->setName($name);
    return $usersApi->userCreate(user_create: $user, idempotency_key: $key)->getId();
}

function user(int $id): array
{
    global $usersApi;
    $found = $usersApi->userView(user_id: $id);
    return [$found->getEmail(), $found->getName()];
}

function replaceUser(int $id, string $email, string $name): array
{
    global $usersApi;
    $user = (new user_service\Model\UserReplace())->setEmail($email)->setName($name);
    $found = $usersApi->userReplace(user_id: $id, user_replace: $user);
    return [$found->getEmail(), $found->getName()];
}

function deleteUser(int $id): void
{
    global $usersApi;
    $usersApi->userDelete(user_id: $id);
}

function users(mixed ...$query): array
{
    global $usersApi;
    return page($usersApi->userList(...$query));
}

function createOrder(int $user, ?string $key = null): int
{
    global $ordersApi;
    $order = (new order_service\Model\OrderCreate())->setUserId($user)->setProductId(456)->setQuantity(2);
    return $ordersApi->orderCreate(order_create: $order, idempotency_key: $key)->getOrderId();
}

function orderStatus(int $id): string
{
    global $ordersApi;
    return $ordersApi->orderView(order_id: $id)->getStatus();
}

function setStatus(int $id, string $status): string
{
    global $ordersApi;
    $update = (new order_service\Model\OrderStatusUpdate())->setStatus($status);
    return $ordersApi->orderSetStatus(order_id: $id, order_status_update: $update)->getStatus();
}

function cancel(int $id): string
{
    global $ordersApi;
    return $ordersApi->orderCancel(order_id: $id)->getStatus();
}

function orders(mixed ...$query): array
{
    global $ordersApi;
    return page($ordersApi->orderList(...$query));
}

function page(object $found): array
{
    return [array_map(fn ($item) => $item->getId(), $found->getItems()), $found->getNextPage()];
}
