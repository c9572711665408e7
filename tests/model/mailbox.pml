/*
 * tests/model/mailbox.pml - the wake-up protocol of base/mailbox.h, for spin.
 *
 *     spin -search tests/model/mailbox.pml            0 errors: no wake-up is lost
 *     spin -DNO_RECHECK -search tests/model/mailbox.pml   must find one: the check can fail
 *     spin -DNO_ASKING -search tests/model/mailbox.pml    the same: who published must ask
 *
 * One producer publishes ENTRIES entries, one at a time, and asks who sleeps at any time after that,
 * once for one or more of them; one consumer takes them and sleeps when nothing is there.  The
 * eventfd is a counter.  Memory is sequentially consistent: the word is exchanged by both, and what
 * stands before one exchange is seen after the next.  A lost wake-up is a deadlock: the consumer
 * waits, and nobody will come.
 */
#define ENTRIES 4

byte tail;
byte taken;
byte sleeps;
byte eventfd;

active proctype producer()
{
    byte old;
    bool asks;                   /* something was published since it asked */

    do
    :: tail < ENTRIES ->
        tail++;                  /* publish */
        asks = true
    :: asks ->
        atomic { old = sleeps; sleeps = 0 };
        asks = false;
        if
        :: old -> eventfd++
        :: else
        fi
#ifdef NO_ASKING
    :: asks && tail == ENTRIES -> break
#endif
    :: !asks && tail == ENTRIES -> break
    od
}

active proctype consumer()
{
    do
    :: taken == ENTRIES -> break
    :: taken < ENTRIES && tail > taken -> taken++
    :: taken < ENTRIES && tail == taken ->
        sleeps = 1;
#ifndef NO_RECHECK
        if
        :: tail != taken -> sleeps = 0; goto again
        :: else
        fi;
#endif
        (eventfd > 0);           /* waits */
        eventfd = 0;
        sleeps = 0;
again:  skip
    od
}
