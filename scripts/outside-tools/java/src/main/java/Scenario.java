import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.UUID;

/** What every client must be able to do: the steps of scripts/outside-tools/python/scenario.py. */
public class Scenario {
    /** An id that is not in use. */
    static final long UNKNOWN = 999999999999L;
    /** A list that has more pages than this does not end. */
    static final int MAX_PAGES = 1000;

    public static void main(String[] arguments) throws Exception {
        // The reason is the last line.
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> {
            error.printStackTrace();
            System.err.println(error);
        });
        var client = new Clients();
        var runId = UUID.randomUUID();
        var emails = new ArrayList<String>();
        var users = new ArrayList<Long>();
        for (int number = 0; number < 5; number++) {
            emails.add(number + "-" + runId + "@example.com");
            users.add(client.createUser(emails.get(number), "Ada Lovelace", "user-" + emails.get(number)));
        }
        long ada = users.get(0);
        String email = emails.get(0);
        expect("a repeated key creates no user", client.createUser(email, "Ada Lovelace", "user-" + email), ada);
        expect("a user is read", client.user(ada), List.of(email, "Ada Lovelace"));
        expect("a user is replaced", client.replaceUser(ada, email, "Ada King"), List.of(email, "Ada King"));
        expect("a taken address is refused", client.refusal(() -> client.createUser(emails.get(1), "Grace", null)),
            "409 email_taken");
        expectAll("the list of users", users, pages(client::users));

        var orders = new ArrayList<Long>();
        for (int number = 0; number < 5; number++) {
            orders.add(client.createOrder(ada, "order-" + number + "-" + runId));
        }
        long first = orders.get(0);
        expect("a repeated key places no order", client.createOrder(ada, "order-0-" + runId), first);
        expect("an order starts as created", client.orderStatus(first), "created");
        expect("a status is changed", client.setStatus(first, "confirmed"), "confirmed");
        expect("an order is cancelled", client.cancel(first), "cancelled");
        expect("a cancelled order stays so", client.refusal(() -> client.setStatus(first, "completed")),
            "409 invalid_transition");
        expect("an order is refused to an unknown user", client.refusal(() -> client.createOrder(UNKNOWN, null)),
            "404 user_not_found");
        var found = pages((limit, token) -> client.orders(token == null ? ada : null, limit, token));
        expectAll("the orders of a user", orders, found);
        expect("a filter finds nothing else", found.size(), orders.size());
        expect("an unknown order is not found", client.refusal(() -> client.orderStatus(UNKNOWN)),
            "404 order_not_found");

        for (long user : users) {
            client.deleteUser(user);
        }
        expect("a deleted user is not found", client.refusal(() -> client.user(ada)), "404 user_not_found");
    }

    /** The ids of a list that is read two items a page. */
    static List<Long> pages(Listing listing) throws Exception {
        var page = listing.page(2L, null);
        var ids = new ArrayList<>(page.ids());
        for (int count = 1; page.next() != null; count++) {
            expect("the length of a page that is not the last", page.ids().size(), 2);
            expect("a list ends", count < MAX_PAGES, true);
            // The token contains the filters and the page size.
            page = listing.page(null, page.next());
            ids.addAll(page.ids());
        }
        expect("the last page is no longer than the others", page.ids().size() <= 2, true);
        return ids;
    }

    static void expectAll(String what, List<Long> created, List<Long> found) {
        expect(what + ": different ids", new HashSet<>(found).size(), found.size());
        var missing = new ArrayList<>(created);
        missing.removeAll(found);
        expect(what + ": what is missing", missing, List.of());
    }

    static void expect(String what, Object actual, Object expected) {
        if (!Objects.equals(actual, expected)) {
            throw new AssertionError(what + ": expected " + expected + ", not " + actual);
        }
    }

    interface Listing {
        Page page(Long limit, String token) throws Exception;
    }

    record Page(List<Long> ids, String next) {}
}
