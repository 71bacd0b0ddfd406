"""The life of an intent.

1. `feeds` receive the world and say what happened: `BookChanged`, `TradePrinted`, `FeedLost`.
2. `caches` remember it; `indicators` turn it into numbers, O(1) per event.
3. `strategies` look and state intents, purely: `Quotes`, `Target`, `Basket`.
4. `risk` allows the intent, shrinks it, or names the reason why not.
5. `executor`, the only writer of an account's orders, compares intent with fact and asks for
   `PlaceOrder`, `CancelOrder`, `QueryOrders`.
6. `journal` keeps what is asked before it is done.
7. `gateway` decides when, cancels first; `venues` speak to the outside.
8. What the venue says, or does not say, comes back as events; the executor moves its table, the
   reconciler resolves what silence left behind, and `storage` keeps what must survive.

From caches to the gateway's core nothing waits, does I/O, reads a clock or draws a random number:
time arrives with each message. The same objects trade live, replay recordings and are simulated.
"""
