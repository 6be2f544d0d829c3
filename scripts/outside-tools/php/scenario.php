<?php

// What every client must be able to do: the steps of scripts/outside-tools/python/scenario.py.

declare(strict_types=1);

require 'clients.php';

// An id that is not in use.
const UNKNOWN = 999999999999;
// A list that has more pages than this does not end.
const MAX_PAGES = 1000;

$runId = bin2hex(random_bytes(16));
$emails = array_map(fn ($number) => "$number-$runId@example.com", range(0, 4));
$users = array_map(fn ($email) => createUser($email, 'Ada Lovelace', "user-$email"), $emails);
$ada = $users[0];
expect('a repeated key creates no user', createUser($emails[0], 'Ada Lovelace', "user-$emails[0]"), $ada);
expect('a user is read', user($ada), [$emails[0], 'Ada Lovelace']);
expect('a user is replaced', replaceUser($ada, $emails[0], 'Ada King'), [$emails[0], 'Ada King']);
expect('a taken address is refused', refusal(fn () => createUser($emails[1], 'Grace')), [409, 'email_taken']);
expectAll('the list of users', $users, pages(users(...)));

$keys = array_map(fn ($number) => "order-$number-$runId", range(0, 4));
$orders = array_map(fn ($key) => createOrder($ada, $key), $keys);
$first = $orders[0];
expect('a repeated key places no order', createOrder($ada, $keys[0]), $first);
expect('an order starts as created', orderStatus($first), 'created');
expect('a status is changed', setStatus($first, 'confirmed'), 'confirmed');
expect('an order is cancelled', cancel($first), 'cancelled');
expect('a cancelled order stays so', refusal(fn () => setStatus($first, 'completed')), [409, 'invalid_transition']);
expect('an order is refused to an unknown user', refusal(fn () => createOrder(UNKNOWN)), [404, 'user_not_found']);
$found = pages(fn (...$query) => orders(...$query, ...(isset($query['page_token']) ? [] : ['user_id' => $ada])));
expectAll('the orders of a user', $orders, $found);
expect('a filter finds nothing else', count($found), count($orders));
expect('an unknown order is not found', refusal(fn () => orderStatus(UNKNOWN)), [404, 'order_not_found']);

array_map(deleteUser(...), $users);
expect('a deleted user is not found', refusal(fn () => user($ada)), [404, 'user_not_found']);

/** The ids of a list that is read two items a page. */
function pages(callable $list): array
{
    [$page, $next] = $list(limit: 2);
    $ids = $page;
    for ($count = 1; $next !== null; $count++) {
        expect('the length of a page that is not the last', count($page), 2);
        expect('a list ends', $count < MAX_PAGES, true);
        // The token contains the filters and the page size.
        [$page, $next] = $list(page_token: $next);
        $ids = [...$ids, ...$page];
    }
    expect('the last page is no longer than the others', count($page) <= 2, true);
    return $ids;
}

function expectAll(string $what, array $created, array $found): void
{
    expect("$what: different ids", count(array_unique($found)), count($found));
    expect("$what: what is missing", array_values(array_diff($created, $found)), []);
}

function expect(string $what, mixed $actual, mixed $expected): void
{
    if ($actual !== $expected) {
        fwrite(STDERR, "$what: expected " . json_encode($expected) . ', not ' . json_encode($actual) . "\n");
        exit(1);
    }
}
