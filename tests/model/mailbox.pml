/*
 * tests/model/mailbox.pml - the wake-up protocol of base/mailbox.h, for spin.
 *
 *     spin -search tests/model/mailbox.pml            0 errors: no wake-up is lost
 *     spin -DNO_RECHECK -search tests/model/mailbox.pml   must find one: the check can fail
 *
 * One producer publishes ENTRIES entries, one at a time; one consumer takes them and sleeps when
 * nothing is there.  The eventfd is a counter.  Memory is sequentially consistent, as the four
 * accesses that matter are.  A lost wake-up is a deadlock: the consumer waits, and nobody will come.
 */
#define ENTRIES 4

byte tail;
byte taken;
byte sleeps;
byte eventfd;

active proctype producer()
{
    byte old;

    do
    :: tail < ENTRIES ->
        tail++;                  /* publish */
        if
        :: sleeps == 0           /* nobody to wake */
        :: else ->
            atomic { old = sleeps; sleeps = 0 };
            if
            :: old -> eventfd++
            :: else
            fi
        fi
    :: else -> break
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
